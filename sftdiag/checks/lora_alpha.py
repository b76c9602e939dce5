"""SFT505 lora-alpha: alpha against the rank: the update is scaled by alpha / r.

Sees: a scale outside of what any source uses (1/8 to 2; the guide: 2). A factor of 4 beyond that
is a warning: the learning rates of all sources assume a scale of this size.

Cannot see: rank-stabilised LoRA, which scales by alpha / sqrt(r).

Example:
    >>> from sftdiag.context import RunContext
    >>> check = LoraAlphaCheck()
    >>> for context in (
    ...     RunContext(method="lora", lora_r=32, lora_alpha=64.0),
    ...     RunContext(method="lora", lora_r=32, lora_alpha=128.0),
    ...     RunContext(method="lora", lora_r=8, lora_alpha=256.0, total_parameters=10**9),
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

from sftdiag.checks._hyperparameters import at_most, out_of_reach, reach, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import ALPHA_OVER_RANK

FAR = 4.0
"""Factor beyond every source from which a scale is far out: the guide's 2 and QLoRA's 1/4, both of
which work, are 8 apart."""


class LoraAlphaCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT505"
    name: ClassVar[str] = "lora-alpha"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("adapter-scale",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        rank, alpha = context.lora_r, context.lora_alpha
        if rank is None or alpha is None:
            return Skip("no_adapter")
        if (skip := out_of_reach(context)) is not None:
            return skip
        scale = alpha / rank
        low, high = reach(ALPHA_OVER_RANK)
        if low <= scale <= high:
            return ()
        far = not low / FAR <= scale <= high * FAR
        usual = round(ALPHA_OVER_RANK[0].high * rank)
        return [
            self.observation(
                at_most(Severity.WARNING, context) if far else Severity.INFO,
                series=ARGUMENTS,
                evidence={
                    "alpha": alpha,
                    "rank": rank,
                    "scale": scale,
                    "low": low,
                    "high": high,
                    **sources(ALPHA_OVER_RANK),
                },
                fixes=(FixText("usual", changes={"LoraConfig.lora_alpha": (alpha, usual)}),),
            )
        ]
