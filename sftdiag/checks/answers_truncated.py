"""SFT408 answers-truncated: the maximum length cuts answers off.

Sees: rows that were longer before they were cut, and how many answer tokens were lost; without the
raw rows, rows of the greatest length that do not end as a text ends. The guide lets 5 to 10 % of
the rows be cut: fewer are passed over, more are a warning. That every row is cut before its answer
is an error: nothing is left to train. So is that every row is cut within a reply and none trains
the end of one, as where ends are masked (SFT406).

Cannot see: cuts within packed sequences.

Example:
    >>> from sftdiag.context import RunContext
    >>> from sftdiag.samples import Sample, Split
    >>> cut = Sample((5, 6, 7), (-100, -100, 7), answers=((2, 3),), full_tokens=9,
    ...              full_answer_tokens=7)
    >>> inputs = Inputs(RunContext(max_length=3), Split("train", (cut,), 1))
    >>> found = AnswersTruncatedCheck().look(inputs)
    >>> [(one.severity.label, one.evidence["share"]) for one in found]
    [('warning', 1.0)]

References:
    The guide: the length covers 90 to 95 % of the samples. trl issue 3449.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._answer_ends import ABSENT, ends_of, need_ends
from sftdiag.checks._lengths import cap_of, cut_before_answers, cut_rows, longer, was_cut
from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, labelled, without_rows
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import COVERAGE
from sftdiag.samples import Split


class AnswersTruncatedCheck(Check):
    """Compares rows with what they were before they were cut."""

    code: ClassVar[str] = "SFT408"
    name: ClassVar[str] = "answers-truncated"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("sequence-length",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        if inputs.context.packing:
            return Skip("packed")
        cap = cap_of(inputs, split)
        if cap is None:
            return Skip("no_max_length")
        cut = cut_rows(inputs, split)
        share = len(cut) / len(split.samples)
        if not cut or share <= 1 - COVERAGE.high:
            return ()
        nothing_left = not labelled(split.samples) and cut_before_answers(split)
        lost = 1.0 if nothing_left else _lost(split, cut)
        no_end = _no_end(inputs)
        many = Severity.WARNING if share > 1 - COVERAGE.low else Severity.INFO
        evidence: dict[str, Scalar] = {**share_of_rows(len(cut), split), "max_length": cap}
        return [
            self.observation(
                Severity.ERROR if nothing_left or no_end else many,
                variant="no_end" if no_end else "default" if lost is not None else "rows_only",
                evidence=evidence | ({} if lost is None else {"lost": lost}),
                fixes=(FixText("length", changes=longer(inputs, split)), FixText("prompts")),
                example=cut[0],
            )
        ]


def _lost(split: Split, cut: Sequence[int]) -> float | None:
    """Return the share of these rows' answer tokens that was cut off, or None when unknown."""
    known = [s for s in (split.samples[i] for i in cut) if s.full_answer_tokens]
    whole = sum(s.full_answer_tokens or 0 for s in known)
    return 1 - sum(s.answer_tokens for s in known) / whole if whole else None


def _no_end(inputs: Inputs) -> bool:
    """Return whether each row with a label is known to be cut, and none trains a reply's end."""
    known, rows = inputs.tokenization, inputs.train.samples
    trained = [rows[index] for index in labelled(rows)]
    if known is None or not known.stops or not trained:
        return False
    if not all(was_cut(sample) and sample.full_answer_tokens for sample in trained):
        return False
    ends = (end for sample in trained for end in ends_of(sample, known))
    return all(end == ABSENT for end in ends) and need_ends(trained, known)
