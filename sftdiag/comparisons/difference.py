"""Difference: one measure of two runs, with how much of it is noise of either."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, sqrt

from sftdiag.signals.course import Points
from sftdiag.signals.noise import AUTOCORRELATION, cautious_noise
from sftdiag.values import Value

SEED_EVAL = 0.02
"""Share by which two evaluation losses may differ where only the seed does. Between 87 pairs of
healthy fine-tunes that differ in their seed alone (benchmarks/gpu/runs) the last evaluations lie
0.5 % apart in the median and 1.8 % at most."""

SEED_LOSS = 0.025
"""Likewise for means of the train loss over a third of the run: each seed meets other rows last,
and 0.5 % lie between such pairs in the median. What lies further apart there are runs of few rows,
whose own noise says so."""

STANDARD_ERRORS = 2.6
"""Times the standard error that a difference must exceed besides: two in a hundred by chance in two
looks, and an interval of about 99 %."""

FEWEST = 3
"""Values from which a mean has an error that can be told."""

START, END = 0.1, 2 / 3
"""The first tenth of a run is where it starts, the last third where it ends."""


class Level(Value):
    """A mean of a series in logarithms, with its standard error."""

    log_mean: float
    error: float


class Difference(Value):
    """One measure in both runs.

    Attributes:
        measure: what is compared, a key of the texts.
        baseline: its value in the baseline.
        run: its value in the other run.
        change: how much larger the run's is, as a share; negative where it is smaller.
        margin: by how much it may differ by noise and seed alone, as a share.
        since_step: from which step on the runs lie apart for good, where that is known.
    """

    measure: str
    baseline: float
    run: float
    change: float
    margin: float
    since_step: int | None = None

    @property
    def beyond(self) -> int:
        """1 where the run's value is larger by more than noise, -1 where smaller, else 0."""
        if abs(self.change) <= self.margin:
            return 0
        return 1 if self.change > 0 else -1


def between(
    measure: str, baseline: Level | None, run: Level | None, seed: float
) -> Difference | None:
    """Return the difference of two levels; None where one of them is not known."""
    if baseline is None or run is None:
        return None
    apart = run.log_mean - baseline.log_mean
    noise = STANDARD_ERRORS * sqrt(baseline.error**2 + run.error**2)
    return Difference(
        measure,
        exp(baseline.log_mean),
        exp(run.log_mean),
        exp(apart) - 1,
        exp(min(noise + seed, 50.0)) - 1,
    )


def level(points: Points, start: float, end: float) -> Level | None:
    """Return the mean level between two shares of the run's steps.

    The noise is that around a smooth curve, raised for neighbours that are alike. None where there
    are too few values, or some are not above 0.
    """
    if not points:
        return None
    last = points[-1][0]
    values = [value for step, value in points if start * last <= step <= end * last]
    if len(values) < FEWEST or min(values) <= 0.0:
        return None
    logs = [log(value) for value in values]
    noise = cautious_noise(logs)
    return Level(sum(logs) / len(logs), AUTOCORRELATION * noise / sqrt(len(logs)))


def last_evaluation(points: Points) -> Level | None:
    """Return the last evaluation; its noise is that of the series around a smooth curve."""
    if not points or points[-1][1] <= 0.0:
        return None
    return Level(log(points[-1][1]), _noise([value for _, value in points]))


def best_evaluation(points: Points) -> Level | None:
    """Return the lowest evaluation, with the noise of the series."""
    lowest = min((value for _, value in points), default=0.0)
    if lowest <= 0.0:
        return None
    return Level(log(lowest), _noise([value for _, value in points]))


def apart_since(baseline: Points, run: Points, sign: int, margin: float) -> int | None:
    """Return the step from which on the run lies beyond the margin for good, at common steps."""
    known = dict(baseline)
    since = None
    for step, value in run:
        other = known.get(step)
        if other is None or other <= 0.0 or value <= 0.0:
            continue
        if sign * log(value / other) > log(1 + margin):
            since = step if since is None else since
        else:
            since = None
    return since


def _noise(values: Sequence[float]) -> float:
    # The second half: early on the curve bends, and evaluations are made on the same rows.
    later = values[len(values) // 2 :]
    logs = [log(value) for value in later if value > 0.0]
    noise = cautious_noise(logs)
    return 0.0 if noise == inf else noise
