"""The axis of curves, the same on a page, in the terminal, in a picture and at the size of a word.

An axis that spans the values alone makes the noise of a run that learns nothing as tall as the fall
of one that learns. So it spans a share of the level and a multiple of the noise at least.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import isfinite

from sftdiag.report.reduced import Points
from sftdiag.signals.noise import noise_scale
from sftdiag.values import Value

LEAST_SHARE = 0.2
"""Span as a share of the largest value: a change of 2 % of the level is then a tenth of the height,
as little as it is, and the labelled healthy runs fall by a fifth at least."""

LEAST_NOISE = 10.0
"""Span in standard deviations of the noise: 99 % of the points lie within 5 of them, and a band of
noise that fills half the height reads as level, one that fills all of it as an event."""

EXPLOSION = 8.0
"""Largest value over the first from which a linear axis hides all but the explosion."""

DECADES = 50.0
"""Largest over smallest value from which an axis of ratios, as of a gradient norm, is logarithmic:
a loss that falls far ends near 0, and that is how it should look."""


class Axis(Value):
    """An axis from ``low`` to ``high``; ``least`` is what it spans because of the noise alone."""

    low: float = 0.0
    high: float = 1.0
    logarithmic: bool = False
    least: float = 0.0


def axis_of(
    series: Collection[Points],
    *,
    noisy: Sequence[float] = (),
    linear: bool = False,
    ratios: bool = False,
) -> Axis:
    """Return the axis of some series.

    Args:
        series: (step, value) pairs, the first series first.
        noisy: the values whose noise counts, every one of them; those of the first series where
            empty.
        linear: never logarithmic.
        ratios: its values are compared by their ratio, not their distance.

    Examples:
        >>> axis_of([[(1, 1.5), (2, 1.5), (3, 1.5)]])
        Axis(low=1.35, high=1.65, logarithmic=False, least=0.0)
    """
    shown = [points for points in series if points]
    values = [value for points in shown for _, value in points if isfinite(value)]
    if not values:
        return Axis()
    low, high = min(values), max(values)
    if low > 0.0 and not linear:
        start = low * DECADES / EXPLOSION if ratios else max(points[0][1] for points in shown)
        if high > EXPLOSION * start:
            return Axis(low, high, True)
    noise = noise_scale(noisy or [value for _, value in shown[0]])
    least = LEAST_NOISE * noise if isfinite(noise) else 0.0
    return Axis(*widened(low, high, least), False, least)


def widened(low: float, high: float, least: float) -> tuple[float, float]:
    """Return the ends of a linear axis that spans enough; none of what is positive is below 0.

    The page's script does the same to the part that is zoomed.
    """
    if not low and not high:
        return 0.0, 1.0
    missing = max(LEAST_SHARE * max(abs(low), abs(high)), least) - (high - low)
    if missing <= 0.0:
        return low, high
    bottom, top = low - missing / 2, high + missing / 2
    return (0.0, top - bottom) if bottom < 0.0 < low else (bottom, top)
