"""Refinement: where a budget is left after the four steps, the ground around what they chose.

Each step had the settings of the others fixed, and these have changed since: the best rate goes
with the batch and the rank, the best number of epochs with the rate. So the steps are gone again
from the lowest loss, among its neighbours only, until a round finds no lower one. Then the lowest
losses that lie within the noise of each other are trained with a second seed, and the means decide.
After that nothing near is better beyond what two seeds can tell: the rest of the budget is kept.

As in the steps, everything follows from the trials that are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from sftdiag.searches import costs
from sftdiag.searches.bracket import Done, Settings, bracketed, loss_of, next_to, with_rates
from sftdiag.searches.noise import CHEAPER_ERRORS, cheapest, margin
from sftdiag.searches.outcome import RowLosses, Trial
from sftdiag.searches.settings import ACCUMULATION, ALPHA, EPOCHS, RANK, RATE, SEED, Facts, key_of
from sftdiag.searches.steps import (
    REFINE,
    STEPS,
    Choice,
    other_seed,
    possible_batches,
)
from sftdiag.tuning.recipes import SEARCH_EPOCHS, SEARCH_RANK

MOST_CONTENDERS = 4
"""Settings that get a second seed: of many alike the lowest is the luckiest, and each further one
has less chance to be the best."""


def wanted(now: Settings, facts: Facts, done: Done, seeds: float | None) -> list[dict[str, float]]:
    """Return the settings that the refinement still wants trained; none when it is over.

    Args:
        now: what the four steps chose.
        facts: of the run.
        done: the trials that are done.
        seeds: what two seeds of the same settings lie apart.
    """
    if missing := _around(now, facts, done):
        return missing
    again = [other_seed(trial.settings) for trial in _contenders(now, done, seeds)]
    return [settings for settings in again if key_of(settings) not in done]


def choose(now: Settings, done: Done, seeds: float | None) -> Choice:
    """Return the lowest loss of all trials, or a cheaper one inside the noise.

    By the means of two seeds where these are known; a budget may end before they are.
    """
    before = dict(now)
    both = [mean for t in _contenders(now, done, seeds) if (mean := _mean(t, done)) is not None]
    decided = len(both) > 1
    ended = both if decided else _ended(now, done)
    old = done.get(key_of(now))
    if not ended or old is None:
        return Choice(REFINE, before, before, why="no_trial")
    kept, best, allowed = cheapest(ended, costs.whole, seeds)
    old = (_mean(old, done) if decided else None) or old
    was, loss = old.outcome.judged, kept.outcome.judged or 0.0
    if was is not None and old.number != kept.number:
        allowed = margin(kept.outcome, old.outcome, seeds)
    return Choice(
        REFINE,
        before,
        dict(kept.settings),
        kept.number,
        best.number,
        loss,
        best.outcome.judged,
        None if was is None else was - loss,
        allowed or None,
        kept is not best,
        "by_two_seeds" if decided else None,
    )


def _around(now: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return what the rounds want next; none once one has found no lower loss."""
    here, before = dict(now), None
    while here != before:
        before = here
        for step in STEPS:
            asked = _NEAR[step](here, facts, done)
            if missing := [settings for settings in asked if key_of(settings) not in done]:
                return missing
            trials = [done[key_of(settings)] for settings in asked]
            ended = [trial for trial in trials if trial.outcome.judged is not None]
            if ended:
                here = dict(min(ended, key=loss_of).settings)
    return []


def _contenders(now: Settings, done: Done, seeds: float | None) -> list[Trial]:
    """Return what a second seed may decide between; none where noise leaves one alone."""
    ended = sorted(_ended(now, done), key=loss_of)
    if not ended:
        return []
    cheap, best, _ = cheapest(ended, costs.whole, seeds)
    near = [
        trial for trial in ended if loss_of(trial) - loss_of(best) <= _noise(trial, best, seeds)
    ]
    first = [best, cheap] if cheap is not best else [best]
    found = [*first, *(trial for trial in near if trial not in first)][:MOST_CONTENDERS]
    return found if len(found) > 1 else []


def _noise(one: Trial, other: Trial, seeds: float | None) -> float:
    return margin(one.outcome, other.outcome, seeds, CHEAPER_ERRORS)


def _ended(now: Settings, done: Done) -> list[Trial]:
    """Return the trials of the search's own seed that ran to their end."""
    own = [trial for trial in done.values() if trial.settings[SEED] == now[SEED]]
    return [trial for trial in own if trial.outcome.judged is not None]


def _mean(trial: Trial, done: Done) -> Trial | None:
    """Return a trial with the mean of two seeds as its outcome; None without a second one."""
    twin = done.get(key_of(other_seed(trial.settings)))
    losses = [one.outcome.judged for one in (trial, twin) if one is not None]
    if twin is None or None in losses:
        return None
    rows = _mean_rows(trial.outcome.rows, twin.outcome.rows)
    loss = fmean(value for value in losses if value is not None)
    return trial.replace(outcome=trial.outcome.replace(loss=loss, rows=rows))


def _mean_rows(one: RowLosses | None, other: RowLosses | None) -> RowLosses | None:
    if one is None or other is None or one.tokens != other.tokens:
        return None
    pairs = zip(one.losses, other.losses, strict=True)
    return one.replace(losses=tuple(map(fmean, pairs)))


def _near_rates(here: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    lower, higher = next_to(here[RATE], done)
    return bracketed([*lower, here[RATE], *higher], here, done)


def _near_epochs(here: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return one epoch less and one more, also with rates of their own.

    Fewer steps ask for a higher rate to come as far. Beyond three a run nearly always overfits.
    """
    near = (here[EPOCHS] - 1, here[EPOCHS] + 1)
    asked = [dict(here), *({**here, EPOCHS: n} for n in near if 1 <= n <= SEARCH_EPOCHS)]
    return with_rates(asked, lambda s: s[EPOCHS] < here[EPOCHS], done)


def _near_ranks(here: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    """Return the guide's next ranks, also with rates of their own.

    Alpha in proportion keeps the adapter's scale, so that a larger rank moves the weights further
    at the same rate: it is tried with the next lower one, too (Kalajdzievski 2023, rsLoRA).
    """
    if facts.method == "full":
        return [dict(here)]
    ratio = here[ALPHA] / here[RANK]
    near = [{**here, RANK: r, ALPHA: r * ratio} for r in _beside(here[RANK], SEARCH_RANK)]
    return with_rates([dict(here), *near], lambda s: s[RANK] < here[RANK], done)


def _near_batches(here: Settings, facts: Facts, done: Done) -> list[dict[str, float]]:
    counts = _beside(here[ACCUMULATION], possible_batches(facts))
    near = [{**here, ACCUMULATION: count} for count in counts]
    return with_rates([dict(here), *near], lambda s: s[ACCUMULATION] > here[ACCUMULATION], done)


def _beside(value: float, values: Sequence[int]) -> list[int]:
    """Return the next lower and the next higher of some values."""
    lower = [other for other in values if other < value]
    higher = [other for other in values if other > value]
    return [*sorted(lower)[-1:], *sorted(higher)[:1]]


_NEAR: Mapping[str, Callable[[Settings, Facts, Done], list[dict[str, float]]]] = {
    RATE: _near_rates,
    EPOCHS: _near_epochs,
    RANK: _near_ranks,
    STEPS[3]: _near_batches,
}
