"""Curves with a bounded number of points that keep every minimum, maximum and marked step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence

MOST = 4_000
"""Points of a curve on a page: more than a screen has columns, and 60 kB."""

Points = Sequence[tuple[int, float]]


def parts(points: Points, gaps: Sequence[int]) -> list[list[tuple[int, float]]]:
    """Return the points in the parts that a line joins: none leads over a gap.

    Args:
        points: (step, value) pairs in the order of the steps.
        gaps: the steps of points behind which values are missing.

    Examples:
        >>> parts([(1, 3.0), (2, 2.0), (9, 1.0)], [2])
        [[(1, 3.0), (2, 2.0)], [(9, 1.0)]]
    """
    found: list[list[tuple[int, float]]] = []
    behind = 0
    for step, value in points:
        passed = bisect_left(gaps, step)
        if not found or passed > behind:
            found.append([])
        behind = passed
        found[-1].append((step, value))
    return found


def reduced(
    points: Points, marked: Collection[int] = (), most: int = MOST
) -> list[tuple[int, float]]:
    """Return at most ``most`` of the points, of equal stretches the lowest and highest each.

    Args:
        points: (step, value) pairs in the order of the steps.
        marked: steps whose points are kept in any case.
        most: points kept besides the marked ones.

    Examples:
        >>> reduced([(step, float(step == 500)) for step in range(1000)], most=4)
        [(0, 0.0), (500, 1.0), (999, 0.0)]
    """
    if len(points) <= most:
        return list(points)
    kept = {0, len(points) - 1}
    if marked:
        kept |= {index for index, (step, _) in enumerate(points) if step in marked}
    values = [value for _, value in points]
    stretches = max(1, (most - 2) // 2)
    end = 0
    for number in range(stretches):
        start, end = end, (number + 1) * len(points) // stretches
        if inside := values[start:end]:
            kept.add(start + inside.index(min(inside)))
            kept.add(start + inside.index(max(inside)))
    return [points[index] for index in sorted(kept)]
