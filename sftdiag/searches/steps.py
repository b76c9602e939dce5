"""Steps: the guide's order as four small searches, each with the settings of the others fixed.

Everything here follows from the trials that are done and from nothing else: a search that is
started again, or run by several processes, asks for the same trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, log

from sftdiag.ranges import ANY_LEARNING_RATE, LOWEST_LEARNING_RATE
from sftdiag.searches import costs
from sftdiag.searches.noise import STANDARD_ERRORS, cheapest, margin, row_error
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

Settings = Mapping[str, float]
Done = Mapping[str, Trial]
"""The trials that are done, by :func:`key_of` of their settings."""

SEEDS = "seeds"
"""The second seed of what step 1 chose: no step of the guide, it measures the noise."""

STEPS = (RATE, EPOCHS, RANK, "effective_batch")
"""The guide's order."""

REFINE = "refine"
"""What comes after the four, where a budget is left (:mod:`sftdiag.searches.refine`)."""

WIDER = 10**0.5
"""From the best rate outwards, when it is the largest or smallest tried: two such steps are a
decade. The guide's own sets step by 2 to 2.5."""

FARTHEST = 1.1 * WIDER
"""Ratio up to which a rate is next to another: a step outwards, and what rounding adds."""

FINEST = 2.3
"""Ratio of neighbouring rates from which nothing lies between worth a trial: the sweep's loss
between two rates so far apart is flat to 0.003 nats (docs/recommend_score.md), and the guide's own
neighbours are 2 to 2.5 apart."""

MOST_RATES = 12
"""Rates tried at most: from 1e-6 to 0.1 in steps of half a decade."""


TOO_HIGH = frozenset({"SFT102", "SFT103", "SFT104", "SFT106", "SFT109", "SFT203"})
"""Findings that a rate too high is a cause of; what else ends a trial asks for no lower one."""


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
        return {EPOCHS: 2, SEEDS: 1}[step]
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


def bracketed(rates: Sequence[float], now: Settings, done: Done) -> list[dict[str, float]]:
    """Return some rates, then those outwards while the best is at an edge, then those between."""
    asked = {rate: {**now, RATE: rate} for rate in rates}
    while len(asked) < MOST_RATES:
        known = {rate: done.get(key_of(settings)) for rate, settings in asked.items()}
        if any(trial is None for trial in known.values()):
            break
        new = _next_rates({rate: trial for rate, trial in known.items() if trial is not None})
        if not new:
            break
        asked |= {rate: {**now, RATE: rate} for rate in new}
    return list(asked.values())


def _next_rates(known: Mapping[float, Trial]) -> list[float]:
    """Return the rates to try next; none when the best is bracketed closely, or all is flat."""
    rates = sorted(known)
    if all(trial.outcome.judged is None for trial in known.values()):
        new = [_towards_learning(known)]
        return [rate for rate in new if _is_possible(rate) and rate not in known]
    best = min(rates, key=lambda rate: _loss(known[rate]))
    place = rates.index(best)
    new = []
    if place == len(rates) - 1 and _worth(known, best, rates[place - 1]):
        new = [_round(best * WIDER)]
    elif place == 0 and _worth(known, best, rates[min(1, len(rates) - 1)]):
        new = [_round(best / WIDER)]
    else:
        for other in (rates[place - 1] if place else None, *rates[place + 1 : place + 2]):
            if other and max(best / other, other / best) > FINEST and _worth(known, best, other):
                new.append(_round((best * other) ** 0.5))
    return [rate for rate in new if _is_possible(rate) and rate not in known]


def _towards_learning(known: Mapping[float, Trial]) -> float:
    """Return a rate to try where none ran to its end: below those that broke, above the others."""
    broke = [rate for rate, trial in known.items() if trial.outcome.cause in TOO_HIGH]
    flat = [rate for rate in known if rate not in broke]
    if broke and flat:
        return _round((max(flat) * min(broke)) ** 0.5)
    return _round(min(broke) / WIDER if broke else max(flat) * WIDER)


def _is_possible(rate: float) -> bool:
    return LOWEST_LEARNING_RATE <= rate <= ANY_LEARNING_RATE


def _worth(known: Mapping[float, Trial], best: float, other: float) -> bool:
    """Return whether two rates differ by more than the rows' noise: else the ground is flat."""
    if best == other:
        return True
    low, high = known[best].outcome, known[other].outcome
    error = row_error(low.rows, high.rows)
    if high.judged is None or low.judged is None or error is None:
        return True
    return high.judged - low.judged > STANDARD_ERRORS * error


def _loss(trial: Trial) -> float:
    return inf if trial.outcome.judged is None else trial.outcome.judged


def _round(rate: float) -> float:
    return float(f"{rate:.1e}")


def _epochs(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the long run, and as many epochs as it says with a schedule of their own."""
    long = {**now, EPOCHS: max(SEARCH_EPOCHS, now[EPOCHS])}
    asked = [dict(now), long]
    trained = done.get(key_of(long))
    epochs = turn(trained) if trained is not None else None
    if epochs is not None and epochs not in (now[EPOCHS], long[EPOCHS]):
        asked.append({**now, EPOCHS: epochs})
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


def with_rates(
    asked: list[dict[str, float]], is_faster: Callable[[Settings], bool], done: Done
) -> list[dict[str, float]]:
    """Return settings, the others than the first also with a rate next to its own.

    Args:
        asked: the settings, the present ones first.
        is_faster: whether settings may suit a higher rate than the present one; else a lower.
        done: the trials that are done.
    """
    lower, higher = next_to(asked[0][RATE], done)
    for settings in asked[1:]:
        near = higher if is_faster(settings) else lower
        asked = [*asked, *({**settings, RATE: rate} for rate in near)]
    while True:
        known = [done[key] for key in map(key_of, asked) if key in done]
        ended = [trial for trial in known if trial.outcome.judged is not None]
        if len(known) < len(asked) or not ended:
            return asked
        best = min(ended, key=_loss).settings
        there = {key_of(settings) for settings in asked}
        new = [{**best, RATE: rate} for near in next_to(best[RATE], done) for rate in near]
        new = [settings for settings in new if key_of(settings) not in there]
        if not new:
            return asked
        asked += new


def next_to(rate: float, done: Done) -> tuple[list[float], list[float]]:
    """Return the next lower and the next higher rate of step 1, each if within a step.

    Of step 1 only: those of later trials would change what earlier steps ask for.
    """
    tried = sorted({trial.settings[RATE] for trial in done.values() if trial.step == RATE})
    lower = [other for other in tried if rate / FARTHEST <= other < rate]
    higher = [other for other in tried if rate < other <= rate * FARTHEST]
    return lower[-1:], higher[:1]


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
    if lowest is long.outcome.curve[-1]:
        return "still_falling"
    return "turned_up"


_ASKED: Mapping[str, Callable[[Settings, Facts, Done], list[dict[str, float]]]] = {
    RATE: _rates,
    SEEDS: _seeds,
    EPOCHS: _epochs,
    RANK: _ranks,
    STEPS[3]: _batches_and_rates,
}
