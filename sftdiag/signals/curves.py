"""Curves: the run's metrics as a bounded number of points, for drawing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

from sftdiag.findings import Curve
from sftdiag.signals.stream import Signals

BESIDE = ("grad_norm", "learning_rate")
"""What is drawn below the losses."""


def curves(parts: Sequence[Signals]) -> tuple[Curve, ...]:
    """Return the train loss, the evaluation series, and what else is drawn, over a run's parts."""
    series: dict[str, tuple[list[int], list[float]]] = {"loss": ([], [])}

    def add(name: str, steps: Iterable[int], values: Iterable[float]) -> None:
        known = series.setdefault(name, ([], []))
        known[0].extend(steps)
        known[1].extend(values)

    for signals in parts:
        add("loss", signals.columns.last_steps, signals.block_losses)
        for name, points in signals.evaluations.items():
            add(name, [point.step for point in points], [point.loss for point in points])
    for signals in parts:
        for name in BESIDE:
            steps, values = signals.columns.last_steps, signals.columns.of(name)
            known = [value is not None for value in values]
            add(name, compress(steps, known), [value for value in values if value is not None])
    lost = [gap for signals in parts for gap in signals.gaps]
    return tuple(
        Curve(name, (*steps,), (*values,), interrupted(steps, lost) if name == "loss" else ())
        for name, (steps, values) in series.items()
        if steps
    )


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
