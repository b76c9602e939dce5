"""Curves: the run's metrics as a bounded number of points, for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

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
        of = attrgetter("last_step", name)
        told = [pair for signals in parts for pair in map(of, signals.blocks)]
        series[name] = [pair for pair in told if pair[1] is not None]
    return tuple(
        Curve(name, *zip(*points, strict=True)) for name, points in series.items() if points
    )
