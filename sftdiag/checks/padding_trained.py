"""SFT418 padding-trained: padding positions have labels.

Sees: labels other than -100 where the attention mask says padding, in rows that are padded already
and in a batch of a short and a long row.

Cannot see: padding in a batch without attention mask.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> row = Sample((5, 6), (5, 6), padding_labels=4)
    >>> found = PaddingTrainedCheck().look(Inputs(train=Split("train", (row,), 1)))
    >>> [(one.severity.label, one.evidence["labels"]) for one in found]
    [('warning', 4)]

References:
    transformers, DataCollatorForSeq2Seq: pads labels with -100, DataCollatorWithPadding does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip


class PaddingTrainedCheck(Check):
    """Looks for labels on padding."""

    code: ClassVar[str] = "SFT418"
    name: ClassVar[str] = "padding-trained"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        samples = inputs.train.samples
        rows = [index for index, sample in enumerate(samples) if sample.padding_labels]
        if not rows:
            return ()
        labels = sum(samples[index].padding_labels for index in rows)
        real = sum(samples[index].supervised_tokens for index in rows)
        return [
            self.observation(
                Severity.WARNING,
                evidence={"rows": len(rows), "labels": labels, "share": labels / (labels + real)},
                fixes=(FixText("mask"), FixText("collator")),
                example=rows[0],
            )
        ]
