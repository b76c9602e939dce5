"""Sparklines: a run's losses at the size of a word, as SVG paths that a row keeps."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite, log

from sftdiag.findings import Curve
from sftdiag.report.axis import axis_of
from sftdiag.report.reduced import reduced
from sftdiag.report.svg import SERIES

WIDTH, HEIGHT = 100, 24

MOST = 40
"""Points of a line: half of the pixels that it has."""


def drawn(curves: Sequence[Curve], evaluation: str | None) -> str:
    """Return the paths of the train loss and of an evaluation series, parted by ``|``.

    Both are over the same axes; a series without two finite points has an empty path.

    Examples:
        >>> drawn([Curve("loss", (1, 3), (2.0, 1.0))], None)
        'M0 1L100 23|'
    """
    shown = [_points(curves, name) for name in ("loss", evaluation)]
    steps = [step for points in shown for step, _ in points]
    if not steps:
        return ""
    first, last = min(steps), max(steps)
    axis = axis_of(shown)
    in_logs, low, high = axis.logarithmic, axis.low, axis.high
    if in_logs:
        low, high = log(low), log(high)

    tall, wide = high - low, max(1, last - first)

    def path(points: Sequence[tuple[int, float]]) -> str:
        places: list[float] = []
        for step, value in points:
            share = ((log(value) if in_logs else value) - low) / tall
            places += (WIDTH * (step - first) / wide, 1 + (1 - share) * (HEIGHT - 2))
        # One format of all of them takes half as long as one of each.
        return ("M" + "L".join(["%.0f %.0f"] * len(points))) % tuple(places)

    return "|".join(path(points) if points else "" for points in shown)


def _points(curves: Sequence[Curve], name: str | None) -> list[tuple[int, float]]:
    for curve in curves:
        if curve.series == name:
            pairs = zip(curve.steps, curve.values, strict=True)
            points = [(step, value) for step, value in pairs if isfinite(value)]
            return reduced(points, most=MOST) if len(points) > 1 else []
    return []


def element(kept: str, title: str) -> str:
    """Return kept paths as an element; nothing where there are none."""
    paths = "".join(
        f'<path class="s{number}" d="{escape(path)}" fill="none" stroke="{SERIES[number]}"/>'
        for number, path in enumerate(kept.split("|"))
        if path
    )
    if not paths:
        return ""
    box = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    box += ' preserveAspectRatio="none"'
    return f'<svg class="spark" {box} role="img" aria-label="{escape(title)}">{paths}</svg>'
