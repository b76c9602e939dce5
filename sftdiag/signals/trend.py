"""Trend: how far a series has moved, with an interval that grows where there are few values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf, sqrt
from operator import mul

from sftdiag.values import Value

NORMAL_99 = 2.3263
"""99 % quantile of the normal distribution: one look in a hundred is beyond it by chance, and looks
at the same series are nearly the same look."""

_STUDENT_2 = 6.965

# Expansion of Student's quantile in the reciprocal of the degrees of freedom (Fisher).
_Z = NORMAL_99
_TERMS = (
    (_Z**3 + _Z) / 4,
    (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96,
    (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384,
)


LEAST_VALUES = 4
"""Values from which an error is told: with two degrees of freedom Student's 99 % quantile is 7,
with one it is 32, where no curve is short of doubt."""

MOST_CORRELATED = 0.8
"""Correlation of neighbours taken into account: above it the residuals are a bend, not noise."""

BETWEEN_THIRDS = 2 / 3
"""Share of a series between the middles of its first and its last third: a fall is taken there."""


class Fall(Value):
    """How far values fall between the middles of their first and last third, and how surely.

    ``level`` is the values' mean, ``upper`` the upper 99 % bound of the fall; all in their unit.
    """

    level: float
    fall: float
    upper: float

    @property
    def lower(self) -> float:
        """The lower bound of the fall."""
        return 2 * self.fall - self.upper

    @property
    def error(self) -> float:
        """Half the width of the interval."""
        return self.upper - self.fall

    def agrees(self, tolerance: float) -> bool:
        """Return whether the values' best line moves by no more than a share."""
        return abs(self.fall) <= tolerance * abs(self.level)

    def within(self, tolerance: float) -> bool:
        """Return whether the values have surely neither fallen nor risen by more than a share.

        A rise may be twice as large: it is another fault's to tell.
        """
        bound = tolerance * abs(self.level)
        return self.upper < bound and self.lower > -2 * bound


def fall_of(values: Sequence[float]) -> Fall:
    """Return the fall along the straight line that fits best; infinitely uncertain for few values.

    The residuals give the error. Where neighbours are alike it is raised as for a series in which
    each residual remembers the one before; where they are unlike it stays, which is cautious.

    Examples:
        >>> seen = fall_of([2.0, 1.9, 1.8, 1.7, 1.6, 1.5])
        >>> round(seen.fall, 3), round(seen.error, 3)
        (0.4, 0.0)
    """
    count = len(values)
    level = sum(values) / count
    if count < LEAST_VALUES:
        third = max(1, count // 3)
        return Fall(level, (sum(values[:third], 0.0) - sum(values[-third:], 0.0)) / third, inf)
    spread = count * (count * count - 1) / 12
    places = _places(count)
    slope = sum(map(mul, places, values)) / spread
    rests = [value - level - slope * place for value, place in zip(values, places, strict=True)]
    squares = sum(map(mul, rests, rests))
    error = 0.0
    if squares > 0.0:
        products = sum(map(mul, rests, rests[1:]))
        alike = min(MOST_CORRELATED, max(0.0, products / squares))
        scale = sqrt(squares / (count - 2) / spread) * sqrt((1 + alike) / (1 - alike))
        error = scale * student_99(count - 2)
    way = BETWEEN_THIRDS * count
    return Fall(level, -slope * way, way * (error - slope))


@lru_cache(maxsize=64)
def _places(count: int) -> list[float]:
    """Return so many places, around 0; a log of any length has few numbers of blocks."""
    middle = (count - 1) / 2
    return [place - middle for place in range(count)]


def student_99(freedom: int) -> float:
    """Return Student's 99 % quantile for at least two degrees of freedom, to within 2 %.

    Examples:
        >>> [round(student_99(freedom), 2) for freedom in (2, 3, 5, 10, 60)]
        [6.96, 4.45, 3.35, 2.76, 2.39]
    """
    if freedom == 2:
        return _STUDENT_2
    first, second, third = _TERMS
    return NORMAL_99 + (first + (second + third / freedom) / freedom) / freedom
