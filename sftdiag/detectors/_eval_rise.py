"""What SFT201 measures of an evaluation series: its best, the rise since, its noise, train's fall."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from sftdiag.signals import Evaluation, median
from sftdiag.values import Value

MIN_DIFFERENCES = 3
"""Differences from which their median says something of the noise."""

TRAIN_FALL = 0.01
"""Fall of the train loss since the best evaluation, as a share, that counts as learning on."""

TRAIN_NOISE_FACTOR = 2.0
"""The same fall in units of its noise; each further evaluation looks again."""

# 1.4826 makes a median absolute deviation a standard deviation for normal noise; a third difference
# of independent noise has sqrt(1 + 9 + 9 + 1) times its standard deviation.
_THIRD_DIFFERENCE_SCALE = 1.4826 / sqrt(20)


class Rise(Value):
    """The rise of a series above its best, in the loss's unit.

    Attributes:
        index: the best evaluation's place in the series.
        level: the loss there, smoothed, so that one low evaluation is no best.
        recent: the lowest of the last two evaluations above the level.
        lasting: the lowest of the last three.
        noise: the standard deviation of one evaluation; 0 where too few were made to tell.
    """

    index: int
    level: float
    recent: float
    lasting: float
    noise: float


def first_rise(losses: Sequence[float]) -> Rise:
    """Return the rise of a series too short to smooth: two evaluations must lie above the best."""
    index = min(range(len(losses)), key=losses.__getitem__)
    after = losses[index + 1 :]
    rise = min(after[-2:]) - losses[index] if len(after) >= 2 else 0.0
    return Rise(index, losses[index], rise, rise, 0.0)


def smoothed_rise(losses: Sequence[float]) -> Rise:
    """Return the rise of a series of at least six evaluations."""
    triples = zip(losses, losses[1:], losses[2:-1], strict=False)
    # The middle one of three, written out: this is most of the work on long series.
    middles = (max(min(a, b), min(max(a, b), c)) for a, b, c in triples)
    smooth = [(losses[0] + losses[1]) / 2, *middles]
    index = min(range(len(smooth)), key=smooth.__getitem__)
    level = min(smooth[index], max(losses[index], smooth[index]))
    lowest = min(range(max(0, index - 1), index + 2), key=losses.__getitem__)
    recent, lasting = min(losses[-2:]) - level, min(losses[-3:]) - level
    return Rise(lowest, level, recent, lasting, noise_beside(losses, lowest))


def noise_beside(losses: Sequence[float], turn: int) -> float:
    """Return the noise of the series on both sides of its best: the turn itself is no noise.

    From third differences: a curve that falls ever more slowly reaches the second ones, which made
    the noise of short series up to four times too large.
    """
    values = zip(losses, losses[1:], losses[2:], losses[3:], strict=False)
    differences = [abs(a - 3 * (b - c) - d) for a, b, c, d in values]
    beside = [d for i, d in enumerate(differences) if not i <= turn <= i + 3]
    used = beside if len(beside) >= MIN_DIFFERENCES else differences
    return median(used) * _THIRD_DIFFERENCE_SCALE if len(used) > 1 else inf


def steadiness(losses: Sequence[float], rise: Rise) -> float:
    """Return the evidence of all evaluations since the best for a steady rise, in loss units.

    The slope of a line from the best through the lowest that each evaluation was followed by, over
    the slope's own standard error for a noise of 1: divided by the noise it is a number of standard
    deviations. No single high evaluation adds to it.
    """
    after = losses[rise.index + 1 :]
    lowest, total, squares = min(losses[-2:]), 0.0, 0
    for place in range(len(after), 0, -1):
        lowest = min(lowest, after[place - 1])
        total += place * max(0.0, lowest - rise.level)
        squares += place * place
    return total / sqrt(squares) if squares else 0.0


def train_fall(points: Sequence[Evaluation], index: int, peak_step: int) -> float:
    """Return the fall of the train loss since the evaluation at ``index``, as a share.

    0 where it is within its noise. Where the learning rate has climbed since, or no evaluation came
    before, the train rows up to that evaluation hold the run's first descent; the train loss up to
    the next evaluation then counts, if it is lower: else a bump at the learning rate's peak would
    look as if only the evaluation loss rose.

    Args:
        points: the series so far.
        index: the place of its best evaluation.
        peak_step: the step at which the learning rate was highest; 0 when it is unknown.
    """
    best, last = points[index], points[-1]
    if best.train_loss is None or last.train_loss is None:
        return 0.0
    before, noise = best.train_loss, best.train_noise
    if index + 1 < len(points) and (index == 0 or best.step < peak_step):
        following = points[index + 1]
        if following.train_loss is not None and following.train_loss < before:
            before, noise = following.train_loss, following.train_noise
    fall = before - last.train_loss
    within = TRAIN_NOISE_FACTOR * sqrt(noise**2 + last.train_noise**2)
    return fall / abs(before) if fall > max(TRAIN_FALL * abs(before), within) else 0.0
