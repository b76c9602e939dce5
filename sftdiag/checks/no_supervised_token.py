"""SFT401 no-supervised-token: no token of the rows looked at reaches the loss.

Sees: labels that are -100 (or padding) at every position of every row. The loss is then the mean
over nothing: exactly 0 in TRL, NaN or 0 in transformers, from step 1 on (SFT107). Why it is so is
said where the run proves it: by assistant_only_loss and the template's marks or the rows' roles, by
completions that are empty, by rows cut before their answers, by labels that were masked when they
came, or that the collator masks.

Cannot see: a loss function of your own that reads other columns than ``labels``.

Example:
    >>> from sftdiag.checks.base import Inputs
    >>> from sftdiag.samples import Sample, Split
    >>> masked = Sample((5, 6, 7), (-100, -100, -100))
    >>> check = NoSupervisedTokenCheck()
    >>> [found.severity.label for found in check.look(Inputs(train=Split("train", (masked,))))]
    ['error']

References:
    trl issues 6668 and 6025, unsloth issue 2900: loss 0 with every label masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._lengths import cut_before_answers, cut_rows, longer
from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, labelled, without_rows
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import IGNORE_INDEX, MASKS, Sample, Split

COLLATOR, CUT, MARKS, ROLES = "collator", "cut", "marks", "roles"
COMPLETION, GIVEN, LEFT = "completion", "given", "left"


class NoSupervisedTokenCheck(Check):
    """Finds a set of which no row has a label that reaches the loss."""

    code: ClassVar[str] = "SFT401"
    name: ClassVar[str] = "no-supervised-token"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        return [self._found(inputs, s) for s in inputs.splits if not labelled(s.samples)]

    def _found(self, inputs: Inputs, split: Split) -> Observation:
        reason = _reason(inputs, split)
        evidence: dict[str, Scalar] = {**share_of_rows(len(split.samples), split)}
        fixes: tuple[FixText, ...] = (FixText(reason or "check_mask"),)
        if reason is None:
            by_marks = inputs.context.assistant_only_loss
            fixes = (*fixes, FixText("marks_unseen" if by_marks else "spelling"), FixText("length"))
        elif reason == COLLATOR:
            fixes = (*fixes, FixText("collator_spelling"))
        elif reason == CUT:
            evidence["max_length"] = max(len(sample.input_ids) for sample in split.samples)
            fixes = (FixText(CUT, changes=longer(inputs, split)),)
        elif reason == ROLES:
            evidence["roles"] = ", ".join(dict.fromkeys(r for s in split.samples for r in s.roles))
        return self.observation(
            Severity.ERROR,
            series=split.name,
            variant=reason or "default",
            evidence=evidence,
            fixes=fixes,
            example=0,
        )


def _reason(inputs: Inputs, split: Split) -> str | None:
    """Return why no sample of a split has a label, or None where nothing proves it."""
    samples = split.samples
    if all(_asks_for_labels(sample) for sample in samples):
        return COLLATOR
    if cut_before_answers(split):
        return CUT
    context, known = inputs.context, inputs.tokenization
    if context.assistant_only_loss:
        if known is not None and known.has_template and not known.generation_markers:
            return MARKS
        if all(s.roles and "assistant" not in s.roles for s in samples):
            return ROLES
        # transformers 5.23 makes no assistant mask at all once the first answer's start is cut off.
        left = known is not None and known.truncates_left
        return LEFT if left and len(cut_rows(inputs, split)) == len(samples) else None
    completions = all("completion" in (sample.row or ()) for sample in samples)
    if completions and context.completion_only_loss is not False:
        return COMPLETION if all(_is_blank(sample) for sample in samples) else None
    if all(sample.given_labels is not None for sample in samples):
        return GIVEN
    return None if any(_has_labels(sample) for sample in samples) else COLLATOR


def _asks_for_labels(sample: Sample) -> bool:
    """Return whether the row's own labels, as they went into the collator, have tokens."""
    given = sample.given_labels
    return given is not None and any(label != IGNORE_INDEX for label in given)


def _has_labels(sample: Sample) -> bool:
    """Return whether the row has something that labels are made of, or is not known."""
    return sample.row is None or any(name in sample.row for name in ("labels", *MASKS))


def _is_blank(sample: Sample) -> bool:
    return not (sample.row or {}).get("completion")
