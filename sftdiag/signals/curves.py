"""Curves: the run's metrics as a bounded number of points, for drawing."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.findings import Curve
from sftdiag.signals.stream import Signals

BESIDE = ("grad_norm", "learning_rate")
"""What is drawn below the losses."""


def curves(parts: Sequence[Signals]) -> tuple[Curve, ...]:
    """Return the train loss, the evaluation series, and what else is drawn, over a run's parts."""
    series: dict[str, list[tuple[int, float]]] = {"loss": []}
    for signals in parts:
        series["loss"] += [(block.last_step, block.loss) for block in signals.blocks]
        for name, points in signals.evaluations.items():
            series.setdefault(name, []).extend((point.step, point.loss) for point in points)
    for name in BESIDE:
        told = [(b.last_step, getattr(b, name)) for signals in parts for b in signals.blocks]
        series[name] = [(step, value) for step, value in told if value is not None]
    return tuple(
        Curve(name, tuple(step for step, _ in points), tuple(value for _, value in points))
        for name, points in series.items()
        if points
    )
