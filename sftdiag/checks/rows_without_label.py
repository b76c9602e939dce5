"""SFT402 rows-without-label: some rows have no token that reaches the loss.

Sees: rows all of whose labels are -100, beside rows that have labels. Mostly the answer was cut off
by the maximum length, or the response template is not in the row.

Cannot see: rows that the trainer dropped before (SFT403), and rows that share a packed sequence.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> rows = (Sample((5, 6), (-100, 6)), Sample((5, 6), (-100, -100)))
    >>> found = RowsWithoutLabelCheck().look(Inputs(train=Split("train", rows, 2)))
    >>> [(one.severity.label, one.evidence["share"]) for one in found]
    [('warning', 0.5)]

References:
    trl issue 1053: a response template that is not found leaves a row without labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, labelled, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS


class RowsWithoutLabelCheck(Check):
    """Finds rows without a label in a set that has labels."""

    code: ClassVar[str] = "SFT402"
    name: ClassVar[str] = "rows-without-label"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        found = []
        for split in inputs.splits:
            with_label = labelled(split.samples)
            empty = sorted(set(range(len(split.samples))) - set(with_label))
            if not empty or not with_label:
                continue
            evidence = share_of_rows(len(empty), split)
            many = len(empty) >= TOLERATED_ROWS * len(split.samples)
            found.append(
                self.observation(
                    Severity.WARNING if many else Severity.INFO,
                    series=split.name,
                    evidence=evidence,
                    fixes=(*_cut_left(inputs), FixText("length"), FixText("filter")),
                    example=empty[0],
                )
            )
        return found


def _cut_left(inputs: Inputs) -> tuple[FixText, ...]:
    """Return what to change where the tokenizer cuts the beginnings of rows.

    transformers 5.23 makes no assistant mask at all once the first answer's start is cut off.
    """
    known = inputs.tokenization
    cut = known is not None and known.truncates_left and inputs.context.assistant_only_loss
    return (FixText("right"),) if cut else ()
