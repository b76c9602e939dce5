"""Medians and noise: how much of a difference between numbers is only their scatter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, inf, isfinite, log10, sqrt

# 1.4826 makes a median absolute deviation a standard deviation for normal noise; a second
# difference of independent noise has sqrt(1 + 4 + 1) times its standard deviation.
_NORMAL_SCALE = 1.4826
_SECOND_DIFFERENCE_SCALE = _NORMAL_SCALE / sqrt(6)

NORMAL_80 = 1.2816
"""80 % quantile of the absolute value of a normal deviate."""

UNSURE_VALUES = 8
"""The noise of few values may come out at half its size: a factor of 1.6 at 10, 1.04 at 40."""

AUTOCORRELATION = 1.5
"""Factor on the error of a mean: lag-1 correlation of 0.4 between block means, the largest seen on
public healthy logs without length grouping, makes it 1.5 times that of independent ones."""

MOVED_ACCURACY = 0.02
"""Change of token accuracy, between means or from the first record, that is more than its noise: on
labelled flat runs thirds of the log differ by up to 0.01."""


def median(values: Sequence[float]) -> float:
    """Return the median; the mean of the middle two for an even number. Empty gives NaN."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are known, or None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def robust_spread(residuals: Sequence[float]) -> float:
    """Return the residuals' standard deviation from their median size, as for normal noise."""
    return _NORMAL_SCALE * median([*map(abs, residuals)])


def second_differences(values: Sequence[float]) -> list[float]:
    """Return how far each value lies from the middle of its neighbours, times two."""
    return [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]


def noise_of(differences: Sequence[float]) -> float:
    """Return the noise's standard deviation from second differences; infinity for fewer than 2.

    A straight trend does not reach second differences, and their median is not reached by a few
    jumps.
    """
    return median(differences) * _SECOND_DIFFERENCE_SCALE if len(differences) > 1 else inf


def noise_scale(values: Sequence[float]) -> float:
    """Return the standard deviation of the noise around a smooth curve; infinity when unknown."""
    return noise_of(second_differences(values))


def cautious_noise(values: Sequence[float]) -> float:
    """Return the noise's standard deviation, rather too large where it is uncertain.

    From the larger of the median and the 80 % quantile of the second differences, which noise with
    heavy or lopsided tails moves apart, and larger for few values, whose spread is ill known.
    """
    differences = sorted(second_differences(values))
    if len(differences) < 2:
        return inf
    upper = differences[int(0.8 * (len(differences) - 1))] / NORMAL_80 / sqrt(6)
    return max(noise_of(differences), upper) * unsure_factor(len(values))


def rounding(level: float, digits: int | None) -> float:
    """Return the distance of two neighbouring numbers of a log that prints so many digits.

    Two that read the same may differ by it; 0 where nothing was rounded, as far as is known.

    Examples:
        >>> rounding(1.234, 4), rounding(0.0, 4), rounding(1.234, None)
        (0.001, 0.0, 0.0)
    """
    if digits is None or not level or not isfinite(level):
        return 0.0
    return 10.0 ** (floor(log10(abs(level))) + 1 - digits)


def is_short(number: float) -> bool:
    """Return whether a number has three decimals or fewer, as rounded ones do.

    Examples:
        >>> is_short(0.51), is_short(0.9335)
        (True, False)
    """
    return round(number, 3) == number


def unsure_factor(values: int) -> float:
    """Return by how much to raise a noise scale that so many values gave."""
    return 1 + (UNSURE_VALUES / values) ** 2
