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
        series["loss"] += zip(signals.columns.last_steps, signals.block_losses, strict=True)
        for name, points in signals.evaluations.items():
            series.setdefault(name, []).extend((point.step, point.loss) for point in points)
    for name in BESIDE:
        series[name] = [
            (step, value)
            for signals in parts
            for step, value in zip(
                signals.columns.last_steps, signals.columns.of(name), strict=True
            )
            if value is not None
        ]
    lost = [gap for signals in parts for gap in signals.gaps]
    found = []
    for name, pairs in series.items():
        if pairs:
            steps, values = zip(*pairs, strict=True)
            gaps = interrupted(steps, lost) if name == "loss" else ()
            found.append(Curve(name, steps, values, gaps))
    return tuple(found)


def interrupted(steps: Sequence[int], lost: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the steps of the points behind which a gap lies.

    Args:
        steps: of the points; a block that reaches over a gap is a point behind it.
        lost: the last step before each gap and the first after it.

    Examples:
        >>> interrupted([10, 20, 50, 60], [(20, 45)])
        (20,)
    """
    before = [max((step for step in steps if step < end), default=None) for _, end in lost]
    return tuple(sorted({step for step in before if step is not None}))
