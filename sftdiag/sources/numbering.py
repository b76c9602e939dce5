"""Numbering: the rows of a log that shows no steps get theirs, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sftdiag.sources.steps import NEAR, Event, Plan, exactness, finite


def numbered(events: Iterable[Event], plan: Plan) -> Iterator[Mapping[str, Any]]:
    """Yield the rows among the events with their steps."""
    numbering = Numbering(plan)
    for row, drawn in _with_bars(events, plan):
        yield numbering.take(row, drawn)


class Numbering:
    """Gives the rows of a log their steps, one by one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._step = 0
        self._epoch = 0.0

    def take(self, row: Mapping[str, Any], drawn: int | None = None) -> Mapping[str, Any]:
        """Return a row with its step; ``drawn`` is where the bar behind it stands."""
        if "step" in row:
            number = row["step"]
            if isinstance(number, int) and ("loss" in row or number > self._step):
                self._step = number
            # An evaluation logged without a step, or before the last one, belongs to the last.
            return row if number == self._step else {**row, "step": self._step}
        plan = self.plan
        epoch = finite(row.get("epoch"))
        if plan.from_zero and epoch is not None:
            epoch += 1.0
            row = {**row, "epoch": epoch}
        there = None
        if epoch is not None and plan.per_epoch is not None:
            there = min(epoch * plan.per_epoch, 1e12)
        unit, near = exactness(epoch or 0.0, plan.places), max(0.5, NEAR * plan.spacing)
        if "loss" in row:
            self._step = self._of_train_row(there, drawn, epoch, unit)
            self._epoch = epoch if epoch is not None else self._epoch
        elif "train_runtime" in row:
            self._step = max(self._step, plan.end or round(there or 0.0))
        elif there is not None and there > self._step + near + unit * (plan.per_epoch or 0.0):
            self._step = round(there)
        return {**row, "step": self._step}

    def _of_train_row(
        self, there: float | None, drawn: int | None, epoch: float | None, unit: float
    ) -> int:
        plan, step, spacing = self.plan, self._step, self.plan.spacing
        after = (step // spacing + 1) * spacing
        slack = 0.6 * spacing + unit * (plan.per_epoch or 0.0)
        if drawn is not None and drawn != step:
            near = abs(there - drawn) <= slack if there is not None else drawn <= step + 2 * spacing
            if near or drawn == after:
                return drawn
        if there is None or epoch is None or abs(there - after) <= slack:
            return after
        if not step and there < 0.5 * spacing:
            # logging_first_step.
            return max(1, round(there))
        told = max(1, round(there / spacing) * spacing)
        # A log goes back where its epochs do: there the run was done again.
        return told if told > step or epoch < self._epoch - unit else after


def _with_bars(
    events: Iterable[Event], plan: Plan
) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    """Yield the rows, each with where the bar behind it stands, where that is its step."""
    waiting: Mapping[str, Any] | None = None
    for event in events:
        if isinstance(event, tuple):
            if waiting is not None and event[1] == plan.total:
                yield waiting, event[0]
                waiting = None
            continue
        if waiting is not None:
            yield waiting, None
            waiting = None
        if plan.redrawn:
            waiting = event
        else:
            yield event, None
    if waiting is not None:
        yield waiting, None
