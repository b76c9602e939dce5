"""Course: a run as whole series, for comparing runs and drawing them. No detector reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from sftdiag.context import RunContext
from sftdiag.records import EVAL, SUMMARY, TRAIN, Entries
from sftdiag.values import Value

Points = tuple[tuple[int, float], ...]
"""(step, value) pairs in the order of the log; what is not finite is left out."""


class Course(Value):
    """A run's series.

    Attributes:
        source: where it was read.
        loss: the train loss a log row.
        grad_norm: the gradient norm a log row.
        learning_rate: the rate a log row.
        epochs: the epochs done a log row.
        evaluations: evaluation series to its points.
        gaps: series to the steps of the points behind which it was lost for a while.
        lost: rows, of training and evaluation, whose loss was NaN, infinite, or a 0 that hides one.
        zeros: train rows whose loss was exactly 0.
        steps_per_second: of the whole run, where its last row says so.
        context: what is known of its settings.
    """

    source: str
    loss: Points
    grad_norm: Points
    learning_rate: Points
    epochs: Points
    evaluations: Mapping[str, Points]
    gaps: Mapping[str, tuple[int, ...]]
    lost: int
    zeros: int
    steps_per_second: float | None
    context: RunContext


def course_of(source: str, entries: Iterable[Mapping[str, Any]], context: RunContext) -> Course:
    """Return the series of a log; of a log that goes back, what was done again replaces the old."""
    loss: dict[int, float] = {}
    norms: dict[int, float] = {}
    rates: dict[int, float] = {}
    epochs: dict[int, float] = {}
    evaluations: dict[str, dict[int, float]] = {}
    gaps: dict[str, dict[int, int]] = {}
    lost, zeros, last, speed = 0, 0, 0, None
    log = Entries()
    for record in (record for entry in entries for record in log.parse(entry)):
        if record.kind == TRAIN:
            if record.step < last:
                _forget(record.step, loss, norms, rates, epochs, *evaluations.values())
                for known in gaps.values():
                    for before in [b for b, first in known.items() if first >= record.step]:
                        del known[before]
            last = record.step
            if record.loss_is_lost():
                lost += 1
                _interrupt(gaps, "loss", loss, record.step)
            else:
                loss[record.step] = record.metrics["loss"]
                zeros += record.metrics["loss"] == 0.0
            for name, kept in (("grad_norm", norms), ("learning_rate", rates)):
                value = record.finite(name)
                if value is not None:
                    kept[record.step] = value
                elif record.get(name) is not None:
                    _interrupt(gaps, name, kept, record.step)
            if record.epoch is not None and isfinite(record.epoch):
                epochs[record.step] = record.epoch
        elif record.kind == EVAL:
            for series, value in record.eval_losses().items():
                if isfinite(value):
                    evaluations.setdefault(series, {})[record.step] = value
                else:
                    lost += 1
                    _interrupt(gaps, series, evaluations.get(series, {}), record.step)
        elif record.kind == SUMMARY:
            speed = record.finite("train_steps_per_second")
    return Course(
        source,
        _points(loss),
        _points(norms),
        _points(rates),
        _points(epochs),
        {series: _points(points) for series, points in evaluations.items()},
        {series: tuple(sorted(steps)) for series, steps in gaps.items()},
        lost,
        zeros,
        speed or None,
        context,
    )


def _interrupt(
    gaps: dict[str, dict[int, int]], series: str, known: dict[int, float], step: int
) -> None:
    """Note that a series is lost behind its last point, and from which step on."""
    if known:
        gaps.setdefault(series, {}).setdefault(next(reversed(known)), step)


def _forget(step: int, *kept: dict[int, float]) -> None:
    for points in kept:
        for old in [other for other in points if other >= step]:
            del points[old]


def _points(values: Mapping[int, float]) -> Points:
    return tuple(sorted(values.items()))
