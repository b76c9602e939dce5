"""What SFT201 measures of an evaluation series: its best, the rise since and its noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from math import inf, sqrt

from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.noise import noise_of, robust_spread, second_differences
from sftdiag.values import Value

MIN_DIFFERENCES = 3
"""Differences from which their median says something of the noise."""

LEAST_FOR_NOISE = 7
"""Evaluations from which the noise is taken at least, however steep the descent before."""

TRAIN_FALL = 0.01
"""Fall of the train loss since the best evaluation, as a share, that counts as learning on."""

TRAIN_NOISE_FACTOR = 2.0
"""The same fall in units of its noise; each further evaluation looks again."""

CLEAR_NOISE_FACTOR = 3.0
"""The same where fewer evaluations of the rise must do."""

TOGETHER = 3
"""Evaluations at either end whose train losses are weighed together where one alone is too noisy:
with a row an evaluation, the one beside the best may be a lucky one."""

MAX_SHARE = 10.0
"""Shares beyond this are of a best near 0, and are not told."""

# A third difference of independent noise has sqrt(1 + 9 + 9 + 1) times its standard deviation.
_THIRD_DIFFERENCE_SCALE = 1 / sqrt(20)


MIN_RISE = 0.03
"""Rise as a share of the best: below 3 % the benefit of stopping earlier is within what two runs
with other seeds differ by."""

KNOWN_BY_HEART = 0.05
"""Share of the evaluation loss up to which the train loss has nothing left to fall: the rows are
known by heart, and the evaluations alone tell."""

HALVED = 0.5
"""Share of what it was at the best evaluation that a train loss known by heart must have come down
to: with a row an evaluation the descent itself looks like noise, and no noise halves a mean."""

CLEAR_RISE = 0.035
"""The same where the rise is told by its own noise alone: fine-tunes whose harm is below 0.1 nats
end up to 3.4 % above their best, in smooth curves."""

SURE = (inf, inf, 40.0, 20.0, 13.0, 10.5, 9.5, 8.5)
"""Rise over the noise of as many second differences as the place says (of more, the last) that
noise alone, normal or Student t with 3 degrees, reaches in 3 of 10,000 series of 4 to 8
evaluations, whichever of them is the best: Student's t for so few, and a choice."""


STANDS = 2 / 3
"""Share of the highest rise since the best that must still stand: what has come back by more is a
bump of the learning rate that the train loss left first, at an epoch's edge. Labelled runs that
overfit gave back at most 29 %."""


class Rise(Value):
    """The rise of a series above its best, in the loss's unit.

    Attributes:
        index: the best evaluation's place in the series.
        level: the loss there, smoothed, so that one low evaluation is no best.
        recent: the lowest of the last two evaluations above the level.
        lasting: the lowest of the last three.
        losses: the series, where it is long enough for its noise.
    """

    index: int
    level: float
    recent: float
    lasting: float
    losses: Sequence[float] = ()

    @cached_property
    def highest(self) -> float:
        """The highest that two evaluations in a row were above it since."""
        return highest_since(self.losses, self.index, self.level)

    @cached_property
    def noise(self) -> float:
        """The standard deviation of one evaluation; 0 where too few were made to tell."""
        return noise_beside(self.losses, self.index) if self.losses else 0.0


def highest_since(losses: Sequence[float], index: int, level: float) -> float:
    """Return the highest that two evaluations in a row after that place were above a level."""
    after = losses[index + 1 :]
    return max(map(min, after, after[1:]), default=level) - level


def first_rise(losses: Sequence[float]) -> Rise:
    """Return the rise of a series too short to smooth: two evaluations must lie above the best."""
    index = min(range(len(losses)), key=losses.__getitem__)
    after = losses[index + 1 :]
    rise = min(after[-2:]) - losses[index] if len(after) >= 2 else 0.0
    return Rise(index, losses[index], rise, rise)


def smoothed_rise(losses: Sequence[float]) -> Rise:
    """Return the rise of a series of at least six evaluations."""
    triples = zip(losses, losses[1:], losses[2:-1], strict=False)
    # The middle one of three, written out: this is most of the work on long series.
    middles = (max(min(a, b), min(max(a, b), c)) for a, b, c in triples)
    smooth = [(losses[0] + losses[1]) / 2, *middles]
    index = smooth.index(min(smooth))
    level = min(smooth[index], max(losses[index], smooth[index]))
    lowest = min(range(max(0, index - 1), index + 2), key=losses.__getitem__)
    recent, lasting = min(losses[-2:]) - level, min(losses[-3:]) - level
    return Rise(lowest, level, recent, lasting, losses)


def noise_beside(losses: Sequence[float], turn: int) -> float:
    """Return the noise of the series on both sides of its best: the turn itself is no noise.

    Of the evaluations since the loss first was as low as it is now at most, and from second or
    third differences, whichever are smaller: noise alone makes both alike, while the curve of the
    first descent reaches them, the second ones more, and is no noise.
    """
    highest = max(losses[turn:])
    start = next(place for place, loss in enumerate(losses) if loss <= highest)
    start = max(0, min(start, turn, len(losses) - LEAST_FOR_NOISE))
    losses, turn = losses[start:], turn - start
    second = second_differences(losses)
    triples = zip(losses, losses[1:], losses[2:], losses[3:], strict=False)
    third = [abs(a - 3 * (b - c) - d) for a, b, c, d in triples]
    beside_second = [d for i, d in enumerate(second) if not i <= turn <= i + 2]
    beside_third = [d for i, d in enumerate(third) if not i <= turn <= i + 3]
    if len(beside_second) >= MIN_DIFFERENCES:
        second = beside_second
    if len(beside_third) >= MIN_DIFFERENCES:
        third = beside_third
    return min(noise_of(second), robust_spread(third) * _THIRD_DIFFERENCE_SCALE)


def stands_out(losses: Sequence[float], known: float = 0.0) -> bool:
    """Return whether the rise is far beyond the series' own noise, however few show it.

    An evaluation is made on the same rows each time, so it has no batch noise: what it has are its
    second differences. Those since the best are taken, where there are MIN_DIFFERENCES; else also
    those before it, whose curve makes them rather too large. The turn itself is no noise. The best
    is that of :func:`first_rise`: smoothed, it would stand above a sharp turn.

    Args:
        losses: the series so far.
        known: the least that the noise can be, by the whole series.
    """
    best, rise = (seen := first_rise(losses)).index, seen.recent
    differences = second_differences(losses)
    since = differences[best:]
    if len(since) < MIN_DIFFERENCES:
        since = [d for middle, d in enumerate(differences, start=1) if middle != best]
    few = SURE[min(len(since), len(SURE) - 1)]
    noise = max(known, sqrt(sum(d * d for d in since) / (6 * max(1, len(since)))))
    return few < inf and rise > max(CLEAR_RISE * abs(losses[best]), few * noise)


def floor_since(losses: Sequence[float], rise: Rise) -> list[float]:
    """Return how far each evaluation since the best and all after it stay above the level.

    Less one noise unit, by which the best of many lies too low. No single high evaluation adds to
    it: the last one counts as the lower of the last two.
    """
    lowest, floor = min(losses[-2:]), []
    for loss in reversed(losses[rise.index + 1 :]):
        lowest = min(lowest, loss)
        floor.append(max(0.0, lowest - rise.level - rise.noise))
    return floor[::-1]


def steadiness(floor: Sequence[float]) -> float:
    """Return the evidence of all evaluations since the best for a steady rise, in the loss's unit.

    The slope of the line through the best that fits ``floor``, over that slope's standard error for
    a noise of 1: divided by the noise it is a number of standard deviations.
    """
    total = sum(place * height for place, height in enumerate(floor, start=1))
    return total / sqrt(sum(place * place for place in range(1, len(floor) + 1)))


class Fall(Value):
    """The fall of the train loss since the best evaluation.

    Attributes:
        share: of the train loss there, or of that up to the next evaluation; 0 where it is within
            its noise.
        sure: it is beyond CLEAR_NOISE_FACTOR times its noise, too.
    """

    share: float = 0.0
    sure: bool = False


UNSEEN = Fall(1e-9)
"""Of a log without any train loss: it may have fallen, and has surely not by any share."""


def train_fall(points: Sequence[Evaluation], index: int, peak_step: int) -> Fall:
    """Return the fall of the train loss since the evaluation at ``index``.

    Where the learning rate has climbed since, or no evaluation came before, the train rows up to
    that evaluation hold the run's first descent; the train loss up to the next evaluation then
    counts, if it is lower: else a bump at the learning rate's peak would look as if only the
    evaluation loss rose. A train loss that has nothing left to fall counts as fallen.

    Args:
        points: the series so far.
        index: the place of its best evaluation.
        peak_step: the step at which the learning rate was highest; 0 when it is unknown.
    """
    rows = [point for point in points[index:] if point.train_loss is not None]
    if len(rows) < 2 or _rows_have_ended(points):
        return Fall()
    # Where evaluations are made more often than rows are logged, the next row must do.
    first, last = rows[0], rows[-1]
    if index == 0 or points[index].step < peak_step:
        first = min(rows[:2], key=_train_loss)
    by_heart = [_train_loss(point) <= KNOWN_BY_HEART * point.loss for point in (first, last)]
    if all(by_heart):
        return Fall(1.0, True)
    before, noise = _train_loss(first), first.train_noise
    if by_heart[1] and before > 0.0 and 0.0 <= _train_loss(last) <= HALVED * before:
        return Fall(1.0 - _train_loss(last) / before, True)
    found = _fall(before, _train_loss(last), sqrt(noise**2 + last.train_noise**2))
    return found if found.share else _fall_together(rows[first is not rows[0] :])


def _fall(before: float, after: float, noise: float) -> Fall:
    """Return the fall from one train loss to another, if it is beyond noise."""
    fall = before - after
    if fall <= max(TRAIN_FALL * abs(before), TRAIN_NOISE_FACTOR * noise):
        return Fall()
    return Fall(fall / abs(before), fall > CLEAR_NOISE_FACTOR * noise)


def _fall_together(rows: Sequence[Evaluation]) -> Fall:
    """Return the fall between the first and the last TOGETHER of these, if it is beyond noise."""
    if len(rows) < 2 * TOGETHER:
        return Fall()
    ends = (rows[:TOGETHER], rows[-TOGETHER:])
    before, after = (sum(map(_train_loss, end), 0.0) / TOGETHER for end in ends)
    noise = sqrt(sum((p.train_noise**2 for end in ends for p in end), 0.0)) / TOGETHER
    return _fall(before, after, noise)


def _rows_have_ended(points: Sequence[Evaluation]) -> bool:
    """Return whether evaluations go on without the train rows that used to come, as after a NaN."""
    if points[-1].train_loss is not None:
        return False
    places = [at for at, point in enumerate(points) if point.train_loss is not None]
    usual = max(after - before for before, after in pairwise([-1, *places]))
    return len(points) - 1 - places[-1] >= usual


def _train_loss(point: Evaluation) -> float:
    assert point.train_loss is not None
    return point.train_loss


def share_of(best: float, last: float) -> float | None:
    """Return the rise as a share of the best, or None where a share of next to nothing misleads."""
    share = (last - best) / abs(best) if best else inf
    return share if 0.0 < share < MAX_SHARE else None
