"""Bracket: the best learning rate between two others; a rate next to one that was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from sftdiag.ranges import ANY_LEARNING_RATE, LOWEST_LEARNING_RATE
from sftdiag.searches.noise import STANDARD_ERRORS, row_error
from sftdiag.searches.outcome import Trial
from sftdiag.searches.settings import RATE, key_of

Settings = Mapping[str, float]
Done = Mapping[str, Trial]
"""The trials that are done, by :func:`key_of` of their settings."""

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
    best = min(rates, key=lambda rate: loss_of(known[rate]))
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


def loss_of(trial: Trial) -> float:
    """Return the loss that a trial is judged by; infinite where it has none."""
    return inf if trial.outcome.judged is None else trial.outcome.judged


def lowest(asked: Sequence[Settings], done: Done) -> Trial | None:
    """Return the lowest of settings once all are done; None before, or where none ended."""
    known = [done[key] for key in map(key_of, asked) if key in done]
    ended = [trial for trial in known if trial.outcome.judged is not None]
    return min(ended, key=loss_of) if ended and len(known) == len(asked) else None


def _round(rate: float) -> float:
    return float(f"{rate:.1e}")


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
    while (trial := lowest(asked, done)) is not None:
        best = trial.settings
        there = {key_of(settings) for settings in asked}
        new = [{**best, RATE: rate} for near in next_to(best[RATE], done) for rate in near]
        new = [settings for settings in new if key_of(settings) not in there]
        if not new:
            break
        asked += new
    return asked


def next_to(rate: float, done: Done) -> tuple[list[float], list[float]]:
    """Return the next lower and the next higher rate of step 1, each if within a step.

    Of step 1 only: those of later trials would change what earlier steps ask for.
    """
    tried = sorted({trial.settings[RATE] for trial in done.values() if trial.step == RATE})
    lower = [other for other in tried if rate / FARTHEST <= other < rate]
    higher = [other for other in tried if rate < other <= rate * FARTHEST]
    return lower[-1:], higher[:1]
