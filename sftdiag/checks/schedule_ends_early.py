"""SFT513 schedule-ends-early: the schedule was made for fewer steps than the run has.

Sees: a scheduler of transformers' whose num_training_steps are fewer than the steps planned: a
linear or polynomial one rests at 0 from there on, a cosine rises again. Half of the run or more is
an error: it is trained at nothing, or along a second wave that nobody asked for.

Cannot see: a scheduler of your own, and a run that is ended early on purpose.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = ScheduleEndsEarlyCheck()
    >>> for made_for in (1000, 700, 100):
    ...     context = RunContext(
    ...         lr_scheduler_type="linear", schedule_steps=made_for, max_steps=1000
    ...     )
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['warning']
    ['error']

References:
    transformers.optimization: get_linear_schedule_with_warmup is max(0, ...), and
    get_cosine_schedule_with_warmup goes on along its wave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

TOLERATED = 0.05
"""Share of the run after the schedule's end that changes nothing: the rate is near 0 there anyway,
and steps are counted a little differently by hand."""

MOST = 0.5
"""Share of the run from which on it is wasted."""

RESTS, RISES = ("linear", "polynomial", "restarts"), ("cosine",)
"""Parts of the names of schedules that end at 0, and of those that then go on along a wave."""


class ScheduleEndsEarlyCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT513"
    name: ClassVar[str] = "schedule-ends-early"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("schedule",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        steps, made_for = context.max_steps, context.schedule_steps
        kind = context.lr_scheduler_type or ""
        if steps is None or made_for is None:
            return Skip("no_schedule")
        rests = any(part in kind for part in RESTS)
        if not (rests or any(part in kind for part in RISES)) or "min_lr" in kind:
            return ()
        left = steps - made_for
        if left <= TOLERATED * steps:
            return ()
        return [
            self.observation(
                Severity.ERROR if left >= MOST * steps else Severity.WARNING,
                series=ARGUMENTS,
                variant="rests" if rests else "rises",
                evidence={
                    "made_for": made_for,
                    "steps": steps,
                    "left": left,
                    "part": left / steps,
                },
                fixes=(FixText("steps", changes={"num_training_steps": (made_for, steps)}),),
            )
        ]
