"""Curves: the run's metrics as a bounded number of points, for drawing."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.findings import Curve
from sftdiag.signals.stream import Signals


def curves(parts: Sequence[Signals]) -> tuple[Curve, ...]:
    """Return the train loss and every evaluation series over the parts of a run."""
    series: dict[str, list[tuple[int, float]]] = {"loss": []}
    for signals in parts:
        series["loss"] += [(block.last_step, block.loss) for block in signals.blocks]
        for name, points in signals.evaluations.items():
            series.setdefault(name, []).extend((point.step, point.loss) for point in points)
    return tuple(
        Curve(name, tuple(step for step, _ in points), tuple(value for _, value in points))
        for name, points in series.items()
        if points
    )
