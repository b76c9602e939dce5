"""Given rows: what a loop of one's own logs, as rows of the Trainer's log.

Numbers of any library under any tool's names; each row with the step that a reader of the kept log
would give it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from sftdiag.columns import Columns
from sftdiag.faults import say
from sftdiag.records import as_float, as_step
from sftdiag.sources.console.dicts import is_row
from sftdiag.sources.numbering import Numbering
from sftdiag.sources.steps import Plan

TOLD = ("loss", "eval_loss", "learning_rate", "grad_norm")
"""Metrics of which it is said, once each, where they are no single number."""


class GivenRows:
    """Reads the rows of one loop.

    Args:
        columns: the Trainer's name to the loop's, for names that are not known.
        tells: whether it says what cannot be read.
    """

    def __init__(self, columns: Mapping[str, str], tells: bool) -> None:
        self._columns = Columns(columns)
        self._numbering = Numbering(Plan())
        self._tells = tells
        self._said: set[str] = set()

    @property
    def max_steps(self) -> int | None:
        """The steps planned, where a row has said so."""
        return self._columns.max_steps

    def go_on(self, log: Iterable[Mapping[str, Any]]) -> None:
        """Count on from these rows, of the run that is resumed."""
        for row in log:
            self._numbering.take(row)

    def row(
        self, metrics: object, more: Mapping[str, Any], step: object, last: int
    ) -> Mapping[str, Any] | None:
        """Return what is logged as a row; None where it holds no loss.

        Args:
            metrics: the numbers by name, or None.
            more: further ones.
            step: optimizer steps done, or None.
            last: the step of the row before.
        """
        if metrics is not None and not isinstance(metrics, Mapping):
            self._say("log()", f"takes numbers by name, got {type(metrics).__name__}")
        named = metrics if isinstance(metrics, Mapping) else {}
        row = self._columns.row(self._numbers({**named, **more}))
        if "train_loss" in row and "train_runtime" not in row:
            row.setdefault("loss", row.pop("train_loss"))
        if not is_row(row):
            return None
        if (known := self.step(step)) is not None:
            row["step"] = known
        elif row.get("step") is None:
            row["step"] = last + ("loss" in row)
        return self._numbering.take(row)

    def step(self, given: object) -> int | None:
        """Return a step as a whole number; None, and said once, where it is none that a run has."""
        known = _whole(given)
        if known is None and given is not None:
            self._say("step", f"is no number of steps but {_kind(given)}, and is not looked at")
        return known

    def metric(self, name: str, given: object) -> float | None:
        """Return a metric's number; None, and said once where it counts, where it is none."""
        read = _number(given)
        if read is None and given is not None:
            self._odd(name, given)
        return read

    def _numbers(self, given: Mapping[Any, Any]) -> dict[str, float]:
        read = {str(key): self.metric(str(key), value) for key, value in given.items()}
        return {name: value for name, value in read.items() if value is not None}

    def _odd(self, name: str, value: Any) -> None:
        self._columns.learn((name,))
        if self._columns.seen[name] in TOLD or name in TOLD:
            self._say(name, f"is no single number but {_kind(value)}, and is not looked at")

    def _say(self, about: str, told: str) -> None:
        if self._tells and about not in self._said:
            self._said.add(about)
            say(logging.WARNING, f"{about} {told}")


def _number(value: Any) -> float | None:
    """Return a number, or that of a tensor or array of one element; None for anything else."""
    try:
        return as_float(value.item() if hasattr(value, "item") else value)
    except Exception:
        return None  # A tensor of several elements, each library in its own words.


def _whole(step: Any) -> int | None:
    return as_step(step) if type(step) is int else as_step(_number(step))


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is None and isinstance(value, (int, float)):
        return repr(value)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape else "")
