"""Series: rows of a log from what trackers keep: one number of one metric at one step at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Point(NamedTuple):
    """One number that was logged: its metric, and the step it was logged at."""

    name: str
    step: int
    value: Any


REPEATED = frozenset({"epoch", "train/epoch"})
"""Metrics that stand twice at a step with an evaluation."""


CLOSING = ("train_runtime", "total_flos", "train/train_loss", "train_samples_per_second")
"""End the names in the Trainer's closing row."""


def _closes(name: str) -> bool:
    return name.endswith(CLOSING)


def rows(points: Iterable[Point], step_name: str = "step") -> Iterator[Mapping[str, Any]]:
    """Yield the rows that points in the order of their logging make.

    A row ends where the step changes, or where a metric comes again: what was logged twice at a
    step was logged by two calls, as after a resume.
    """
    row: dict[str, Any] = {}
    at: int | None = None
    for point in points:
        again = point.name in row and point.name not in REPEATED
        # The closing row is none of the evaluation at its step.
        again = again or (point.name.endswith(CLOSING) and not any(map(_closes, row)))
        if row and (point.step != at or again):
            yield {**row, step_name: at}
            row = {}
        at = point.step
        row[point.name] = point.value
    if row:
        yield {**row, step_name: at}
