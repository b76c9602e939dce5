"""SFT508 warmup-share: the steps of warm-up as a share of the run.

Sees: more than twice the guide's 0.1, as a note. Four fifths of the run or more is a warning: the
peak rate, which was chosen with care, then hardly acts, and never where the warm-up is as long as
the run. Any shorter warm-up and any shape of the schedule pass: none, 25 and 100 steps did equally
well, and a constant rate as well as cosine.

Cannot see: a schedule of your own.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = WarmupShareCheck()
    >>> for context in (
    ...     RunContext(max_steps=1000, warmup_steps=100),
    ...     RunContext(max_steps=1000, warmup_steps=300),
    ...     RunContext(max_steps=120, warmup_steps=100),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']

References:
    sftdiag/ranges.py: every range with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import LONG_WARMUP, TRIAL_STEPS, WARMUP

MUCH = 2.0
"""Times the guide's share: up to there the loss of steps near the peak is a few per cent."""


class WarmupShareCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT508"
    name: ClassVar[str] = "warmup-share"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("schedule",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        steps, warmup = context.max_steps, context.warmup_steps
        if steps is None or warmup is None:
            return Skip("no_schedule")
        whole = warmup >= steps > 1
        short = warmup <= MUCH * WARMUP[0].high * steps or steps < TRIAL_STEPS
        if short and not whole:
            return ()
        usual = WARMUP[0].high
        return [
            self.observation(
                Severity.WARNING if warmup >= LONG_WARMUP * steps else Severity.INFO,
                series=ARGUMENTS,
                variant="whole" if whole else "default",
                evidence={
                    "warmup": warmup,
                    "steps": steps,
                    "part": warmup / steps,
                    "reached": min(1.0, steps / warmup),
                    **sources(WARMUP),
                },
                fixes=(FixText("usual", changes={"SFTConfig.warmup_steps": (warmup, usual)}),),
            )
        ]
