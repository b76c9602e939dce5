"""Steps: the guide's order as four small searches, each with the settings of the others fixed.

Everything here follows from the trials that are done and from nothing else: a search that is
started again, or run by several processes, asks for the same trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log

from sftdiag.searches import costs
from sftdiag.searches.bracket import Done, Settings, bracketed, lowest, with_rates
from sftdiag.searches.noise import cheapest, margin
from sftdiag.searches.outcome import Trial
from sftdiag.searches.settings import (
    ACCUMULATION,
    ALPHA,
    EPOCHS,
    RANK,
    RATE,
    SEED,
    Facts,
    key_of,
    usual_rate,
)
from sftdiag.tuning.recipes import SEARCH_BATCH, SEARCH_EPOCHS, SEARCH_LEARNING_RATE, SEARCH_RANK
from sftdiag.values import Value

SEEDS = "seeds"
"""The second seed of what step 1 chose: no step of the guide, it measures the noise."""

STEPS = (RATE, EPOCHS, RANK, "effective_batch")
"""The guide's order."""

REFINE = "refine"
"""What comes after the four, where a budget is left (:mod:`sftdiag.searches.refine`)."""


class Choice(Value):
    """What a step chose.

    Attributes:
        step: its name.
        before: the settings that it began with.
        chosen: the settings that it ended with.
        trial: number of the chosen trial.
        best: number of the trial with the lowest loss.
        loss: of the chosen trial.
        best_loss: of the best one.
        gain: by how much the chosen trial's loss is below that of the settings before; None where
            those were not trained to the end.
        margin: by how much the chosen trial's loss may differ by noise from that of the settings
            before, or, where these were kept, from the best one's.
        cheaper: whether a cheaper setting was kept inside the noise.
        why: a key of search.toml for what there is to say, or None.
    """

    step: str
    before: dict[str, float]
    chosen: dict[str, float]
    trial: int | None = None
    best: int | None = None
    loss: float | None = None
    best_loss: float | None = None
    gain: float | None = None
    margin: float | None = None
    cheaper: bool = False
    why: str | None = None


def wanted(step: str, now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the settings that a step still wants trained; none when it can choose."""
    asked = _ASKED[step](now, facts, done)
    return [settings for settings in asked if key_of(settings) not in done]


def choose(step: str, now: Settings, facts: Facts, done: Done, seeds: float | None) -> Choice:
    """Return what a step chooses among its trials."""
    before = dict(now)
    if step == RANK and facts.method == "full":
        return Choice(step, before, before, why="no_rank")
    trials = [done[key] for key in map(key_of, _asked(step, now, facts, done)) if key in done]
    ended = [trial for trial in trials if trial.outcome.judged is not None]
    if not ended:
        return Choice(step, before, before, why="no_trial")
    kept, best, allowed = cheapest(ended, costs.of(step), seeds)
    old = done.get(key_of(now))
    was = old.outcome.judged if old is not None else None
    if old is not None and was is not None and old is not kept:
        allowed = margin(kept.outcome, old.outcome, seeds)
    loss, lowest = kept.outcome.judged or 0.0, best.outcome.judged or 0.0
    return Choice(
        step,
        before,
        dict(kept.settings),
        kept.number,
        best.number,
        loss,
        lowest,
        None if was is None else was - loss,
        allowed or None,
        kept is not best,
        _why(step, kept, done, now),
    )


def seed_gap(now: Settings, done: Done) -> float | None:
    """Return what two seeds of the same settings lie apart, where both are known."""
    trials = [done.get(key_of(settings)) for settings in (now, other_seed(now))]
    losses = [trial.outcome.judged for trial in trials if trial is not None]
    one, other = (*losses, None, None)[:2]
    return None if one is None or other is None else abs(one - other)


def other_seed(now: Settings) -> dict[str, float]:
    """Return the settings with a second seed."""
    return {**now, SEED: now[SEED] + 1}


def turn(trial: Trial) -> int | None:
    """Return the whole epochs after which a trial's evaluation loss was lowest."""
    curve = trial.outcome.curve
    if not curve:
        return None
    return max(1, round(min(curve, key=lambda point: point.loss).epoch))


def most(step: str, now: Settings, facts: Facts) -> int:
    """Return how many trials a step may ask for, for the time left."""
    known: Done = {}
    if step == RATE:
        return len(_first_rates(now, facts)) + 2
    if step in (EPOCHS, SEEDS):
        return {EPOCHS: 3, SEEDS: 1}[step]
    return max(0, len(_asked(step, now, facts, known)) - 1)


def _asked(step: str, now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    return _ASKED[step](now, facts, done)


def _first_rates(now: Settings, facts: Facts) -> list[float]:
    """Return the guide's set, what evidence says, and what the search starts with, likeliest first.

    Where a good trial has ended, worse ones can be told early.
    """
    usual = usual_rate(facts, now)
    rates = {now[RATE], usual, *SEARCH_LEARNING_RATE.get(facts.method, ())}
    return sorted(rates, key=lambda rate: (rate != now[RATE], abs(log(rate / usual))))


def _rates(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the first rates, then outwards while the best is at an edge, then between."""
    return bracketed(_first_rates(now, facts), now, done)


def _epochs(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the long run, as many epochs as it says, then one fewer while that is better.

    Each with a schedule of its own: a decaying rate hides where a run turns up, and so the long
    run's curve alone would keep three epochs where two are as good and cheaper.
    """
    long = {**now, EPOCHS: max(SEARCH_EPOCHS, now[EPOCHS])}
    asked = [dict(now), long]
    trained = done.get(key_of(long))
    epochs = turn(trained) if trained is not None else None
    if epochs is not None and epochs not in (now[EPOCHS], long[EPOCHS]):
        asked.append({**now, EPOCHS: epochs})
    while (best := lowest(asked, done)) is not None:
        fewer = best.settings[EPOCHS] - 1
        if fewer < 1 or any(settings[EPOCHS] == fewer for settings in asked):
            break
        asked.append({**now, EPOCHS: fewer})
    return asked


def _ranks(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the guide's ranks, alpha in proportion, the present one first."""
    if facts.method == "full":
        return []
    ratio = now[ALPHA] / now[RANK]
    others = [{**now, RANK: rank, ALPHA: rank * ratio} for rank in SEARCH_RANK]
    return [dict(now), *(settings for settings in others if settings[RANK] != now[RANK])]


def _batches(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the guide's batches that accumulation can make, the present one first."""
    possible = possible_batches(facts)
    others = [{**now, ACCUMULATION: count} for count in possible if count != now[ACCUMULATION]]
    return [dict(now), *others]


def possible_batches(facts: Facts) -> list[int]:
    """Return the accumulations that make the guide's batches."""
    return [batch // facts.rows for batch in SEARCH_BATCH if batch % facts.rows == 0]


def _batches_and_rates(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the batches, then rates of step 1 next to the present one, which may suit them more.

    The best rate goes with the batch, and with the rank: a smaller batch is tried with the next
    lower rate as well, a larger one with the next higher, and the best of all with both.
    """
    asked = _batches(now, facts, done)
    return with_rates(asked, lambda s: s[ACCUMULATION] > now[ACCUMULATION], done)


def _seeds(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    first = done.get(key_of(now))
    known = first is not None and first.outcome.judged is not None
    return [other_seed(now)] if known else []


def _why(step: str, kept: Trial, done: Done, now: Settings) -> str | None:
    """Return what else there is to say of a choice."""
    if step != EPOCHS:
        return None
    long = done.get(key_of({**now, EPOCHS: max(SEARCH_EPOCHS, now[EPOCHS])}))
    if long is None or not long.outcome.curve:
        return None
    lowest = min(long.outcome.curve, key=lambda point: point.loss)
    if lowest is not long.outcome.curve[-1]:
        return "turned_up"
    return "still_falling" if kept is long else "fewer_epochs"


_ASKED: Mapping[str, Callable[[Settings, Facts, Done], list[dict[str, float]]]] = {
    RATE: _rates,
    SEEDS: _seeds,
    EPOCHS: _epochs,
    RANK: _ranks,
    STEPS[3]: _batches_and_rates,
}
