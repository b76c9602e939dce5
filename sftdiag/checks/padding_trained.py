"""SFT418 padding-trained: padding positions have labels.

Sees: labels other than -100 where the attention mask says padding, in rows that are padded already
and in a batch of a short and a long row; and rows of unlike text that were padded to one length
when they were tokenized, whose mask did not come along: they end in padding tokens with labels.

Cannot see: padding of a token or two by hand, which may be the text's own end.

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

from collections.abc import Collection, Sequence
from typing import ClassVar

from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample

LEAST_TAIL = 3
"""Padding tokens in a row at a row's end that no text has, where one or two may end it (an end of
turn and one of text, which may be the padding token)."""

MANY = 0.5
"""Share of the rows that end so where padding was written on purpose: all but the longest."""


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
        masked = [sample.padding_labels for sample in samples]
        if any(masked):
            real = sum(s.supervised_tokens for s in samples if s.padding_labels)
            return [self._found(masked, sum(masked) + real, "default")]
        known = inputs.tokenization
        if known is None or known.pad_token_id is None:
            return ()
        written = [_tail(sample, known.pad_token_id, known.stops) for sample in samples]
        if sum(map(bool, written)) < MANY * len(samples):
            return ()
        real = sum(s.supervised_tokens for s, tail in zip(samples, written, strict=True) if tail)
        return [self._found(written, real, "written")]

    def _found(self, padding: Sequence[int], labels: int, variant: str) -> Observation:
        rows = [index for index, count in enumerate(padding) if count]
        count = sum(padding)
        return self.observation(
            Severity.WARNING,
            variant=variant,
            evidence={"rows": len(rows), "labels": count, "share": count / labels},
            fixes=(FixText("mask" if variant == "default" else "labels"), FixText("collator")),
            example=rows[0],
        )


def _tail(sample: Sample, pad: int, stops: Collection[int]) -> int:
    """Return how many padding tokens with labels end a row, the one that may end its text apart."""
    ids = sample.input_ids
    first = len(ids)
    while first > 1 and ids[first - 1] == pad and sample.is_supervised(first - 1):
        first -= 1
    tail = len(ids) - first
    ended = pad not in stops or (first > 0 and ids[first - 1] in stops)
    return tail - (not ended) if tail >= LEAST_TAIL else 0
