"""SFT504 lora-rank: the rank of the adapter against the ranges.

Sees: a rank below the guide's 16 or above every source (256).

Cannot see: how much the task asks of the adapter; a rank of 8 may do for a change of style.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = LoraRankCheck()
    >>> for context in (
    ...     RunContext(method="lora", lora_r=32),
    ...     RunContext(method="lora", lora_r=256),
    ...     RunContext(method="lora", lora_r=4),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    []
    ['info']

References:
    sftdiag/ranges.py: every range with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import out_of_reach, reach, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import LORA_RANK, USUAL_RANK


class LoraRankCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT504"
    name: ClassVar[str] = "lora-rank"
    severity: ClassVar[Severity] = Severity.INFO
    causes: ClassVar[tuple[str, ...]] = ("adapter-capacity",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        rank = context.lora_r
        if rank is None:
            return Skip("no_adapter")
        if (skip := out_of_reach(context)) is not None:
            return skip
        low, high = reach(LORA_RANK)
        if low <= rank <= high:
            return ()
        return [
            self.observation(
                Severity.INFO,
                series=ARGUMENTS,
                variant="small" if rank < low else "default",
                evidence={"rank": rank, "high": high, **sources(LORA_RANK)},
                fixes=(FixText("usual", changes={"LoraConfig.r": (rank, USUAL_RANK)}),),
            )
        ]
