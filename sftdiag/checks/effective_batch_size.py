"""SFT502 effective-batch-size: the rows of an optimizer step against the ranges.

Sees: per device x accumulation x processes below the guide's 16, whose gradients are noisy, or
above every source for the method. Fewer than 4 in full fine-tuning, below the guide's table and
far below all newer sources, is a warning.

Cannot see: how long the rows are: a few long rows may hold as many tokens as many short ones.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = EffectiveBatchSizeCheck()
    >>> for method, accumulation in (("lora", 32), ("lora", 8), ("full", 2)):
    ...     context = RunContext(
    ...         method=method,
    ...         per_device_train_batch_size=1,
    ...         gradient_accumulation_steps=accumulation,
    ...         world_size=1,
    ...     )
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

from sftdiag.checks._hyperparameters import out_of_reach, reach, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import EFFECTIVE_BATCH, SMALLEST_BATCH, USUAL_BATCH


class EffectiveBatchSizeCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT502"
    name: ClassVar[str] = "effective-batch-size"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("batch-size",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        batch, method = context.effective_batch_size, context.method
        if batch is None:
            return Skip("no_batch")
        if method not in EFFECTIVE_BATCH:
            return Skip("no_method")
        if (skip := out_of_reach(context)) is not None:
            return skip
        ranges = EFFECTIVE_BATCH[method]
        if ranges[0].low <= batch <= reach(ranges)[1]:
            return ()
        few = batch < ranges[0].low
        far = method == "full" and batch < SMALLEST_BATCH
        old = context.gradient_accumulation_steps or 1
        new = max(1, round(USUAL_BATCH * old / batch))
        return [
            self.observation(
                Severity.WARNING if far else Severity.INFO,
                series=ARGUMENTS,
                variant="small" if few else "default",
                evidence={"method": method, "batch": batch, **sources(ranges)},
                fixes=(
                    FixText(
                        "accumulate" if few else "fewer",
                        changes={"SFTConfig.gradient_accumulation_steps": (old, new)},
                    ),
                ),
            )
        ]
