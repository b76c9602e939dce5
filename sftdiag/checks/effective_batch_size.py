"""SFT502 effective-batch-size: the rows of an optimizer step against the ranges.

Sees: per device x accumulation x processes, times the samples that a packed row holds, above every
source for the method, or below all of them where few tokens are trained in a step, too: what a
gradient is noisy with is tokens, and a few long rows hold as many as many short ones. Fewer than 4
in full fine-tuning, below the guide's table and far below all newer sources, is a warning. Of a
model smaller than those that the sources trained only that is said, as a note.

Cannot see: how alike the tokens of a row are, and samples in rows that were packed by hand.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = EffectiveBatchSizeCheck()
    >>> for method, accumulation in (("lora", 32), ("full", 8), ("full", 2)):
    ...     context = RunContext(
    ...         method=method,
    ...         per_device_train_batch_size=1,
    ...         gradient_accumulation_steps=accumulation,
    ...         world_size=1,
    ...         total_parameters=10**9,
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

from sftdiag.checks._hyperparameters import at_most, out_of_reach, reach, samples_a_row, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import EFFECTIVE_BATCH, SMALLEST_BATCH, USUAL_BATCH, come_from

NOISY_TOKENS = 1024
"""Trained tokens of a step: those of the guide's 16 rows of a short single turn, whose answers have
some 64."""


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
        held = samples_a_row(inputs)
        if held is None:
            return Skip("packed")
        batch = round(batch * held)
        if method not in EFFECTIVE_BATCH:
            return Skip("no_method")
        if (skip := out_of_reach(context)) is not None:
            return skip
        ranges = EFFECTIVE_BATCH[method]
        low, high = reach(ranges)
        few = batch < low
        if low <= batch <= high or (few and batch >= SMALLEST_BATCH and _has_tokens(inputs)):
            return ()
        far = method == "full" and batch < SMALLEST_BATCH
        sourced = come_from(context.total_parameters)
        if not far and not sourced:
            return ()
        old = context.gradient_accumulation_steps or 1
        new = max(1, round(USUAL_BATCH * old / batch))
        return [
            self.observation(
                at_most(Severity.WARNING, context) if far and sourced else Severity.INFO,
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


def _has_tokens(inputs: Inputs) -> bool:
    """Return whether a step trains as many tokens as the guide's smallest good batch does."""
    rows, batch = inputs.train.samples, inputs.context.effective_batch_size
    if not rows or batch is None:
        return False
    return batch * sum(row.supervised_tokens for row in rows) / len(rows) >= NOISY_TOKENS
