"""SFT518 epoch-too-short: an epoch has fewer batches than a step is to be made of, or none.

Sees: gradient accumulation over more batches than an epoch has. The trainer makes a step at each
epoch's end of what is there, so that no step has the batch that was asked for, and an epoch is one
step. With dataloader_drop_last, fewer training rows than a batch, of which no step can be made
(an error), and fewer evaluation rows than a batch of evaluation, which then gives no loss.

Cannot see: streams, whose rows are not counted; dataloaders, samplers and ways of splitting a batch
that are not the trainer's own. Says nothing of a last step that is short beside full ones.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = EpochTooShortCheck()
    >>> for rows, batches in ((4000, 1000), (100, 25), (3, 0)):
    ...     context = RunContext(
    ...         train_samples=rows,
    ...         epoch_batches=batches,
    ...         per_device_train_batch_size=4,
    ...         gradient_accumulation_steps=32,
    ...         world_size=1,
    ...     )
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['warning']
    ['error']

References:
    transformers.Trainer: set_initial_training_values counts steps an epoch by rounding up,
    get_batch_samples takes the rest of the batches for the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import USUAL_BATCH

WHOLE = FixText("whole", changes={"SFTConfig.dataloader_drop_last": (True, False)})


class EpochTooShortCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT518"
    name: ClassVar[str] = "epoch-too-short"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("batch-size",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        found = [*self._training(inputs.context), *self._evaluations(inputs)]
        return found if found or inputs.context.epoch_batches is not None else Skip("no_batches")

    def _training(self, context: RunContext) -> Iterator[Observation]:
        batches, steps = context.epoch_batches, context.gradient_accumulation_steps
        size, world = context.per_device_train_batch_size, context.world_size
        rows = context.train_samples
        if batches is None or rows is None or steps is None or size is None or world is None:
            return
        if not batches and rows:
            evidence = {"rows": rows, "batch": size * world}
            yield self.observation(
                Severity.ERROR,
                series=ARGUMENTS,
                variant="no_step",
                evidence=evidence,
                fixes=(WHOLE,),
            )
        elif 0 < batches < steps:
            # The usual batch, or one of which an epoch has two.
            usual = max(1, min(batches // 2, round(USUAL_BATCH / (size * world))))
            yield self.observation(
                Severity.WARNING,
                series=ARGUMENTS,
                variant="one_step",
                evidence={
                    "batches": batches,
                    "accumulation": steps,
                    "batch": min(rows, batches * size * world),
                    "asked": steps * size * world,
                },
                fixes=(
                    FixText(
                        "accumulate",
                        changes={"SFTConfig.gradient_accumulation_steps": (steps, usual)},
                    ),
                ),
            )

    def _evaluations(self, inputs: Inputs) -> Iterator[Observation]:
        batch = inputs.context.least_eval_rows
        for split in inputs.evaluations:
            if batch is not None and split.total and split.total < batch:
                yield self.observation(
                    Severity.WARNING,
                    series=split.name,
                    variant="no_evaluation",
                    evidence={"rows": split.total, "batch": batch},
                    fixes=(FixText("smaller"), WHOLE),
                )
