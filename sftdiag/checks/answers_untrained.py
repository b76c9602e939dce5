"""SFT422 answers-untrained: rows are trained, and none of their answers is.

Sees: rows with labels of which none is on a token of a reply, where the replies are known: a mask
that is inverted, or one that was made for another template's marks.

Cannot see: replies in rows that no known template wrote, and those that were cut off.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> row = Sample((5, 6, 8, 9, 4, 4, 2), (5, 6, 8, 9, -100, -100, -100), answers=((4, 6),))
    >>> found = AnswersUntrainedCheck().look(Inputs(train=Split("train", (row,), 1)))
    >>> [(one.severity.label, one.evidence["trained"]) for one in found]
    [('error', 3)]

References:
    torch.nn.CrossEntropyLoss: targets of ignore_index (-100) do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import MASKS, Sample

MADE_FROM = frozenset({"labels", "prompt", "completion", *MASKS})
"""Columns that a trainer makes labels from; where rows have none, the collator made the mask."""

MOST = 0.5
"""Share of such rows from which the run learns to write prompts rather than answers."""


class AnswersUntrainedCheck(Check):
    """Counts the rows whose labels are all outside of their replies."""

    code: ClassVar[str] = "SFT422"
    name: ClassVar[str] = "answers-untrained"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        found: list[Observation] = []
        looked_at = 0
        for split in inputs.splits:
            known = [i for i, s in enumerate(split.samples) if s.answer_tokens]
            looked_at += len(known)
            bare = [i for i in known if _is_bare(split.samples[i])]
            if not bare:
                continue
            share = len(bare) / len(split.samples)
            few = Severity.WARNING if share >= TOLERATED_ROWS else Severity.INFO
            found.append(
                self.observation(
                    Severity.ERROR if share > MOST else few,
                    series=split.name,
                    evidence={
                        **share_of_rows(len(bare), split),
                        "answers": sum(split.samples[i].answer_tokens for i in bare),
                        "trained": sum(split.samples[i].supervised_tokens for i in bare),
                    },
                    fixes=_fixes(inputs, [split.samples[i] for i in bare]),
                    example=bare[0],
                )
            )
        return found if looked_at else Skip("no_replies")


def _is_bare(sample: Sample) -> bool:
    places = (place for start, end in sample.answers or () for place in range(start, end))
    return bool(sample.supervised_tokens) and not any(map(sample.is_supervised, places))


def _fixes(inputs: Inputs, bare: Sequence[Sample]) -> tuple[FixText, ...]:
    """Return what to change, first where the mask is made as far as the rows show it."""
    if all(sample.given_labels == sample.labels for sample in bare):
        return FixText("invert_column"), FixText("look")
    if inputs.context.assistant_only_loss:
        return FixText("marks_template"), FixText("invert"), FixText("look")
    if not any(sample.row is None or MADE_FROM & set(sample.row) for sample in bare):
        return FixText("invert_collator"), FixText("marks"), FixText("look")
    return FixText("invert"), FixText("marks"), FixText("look")
