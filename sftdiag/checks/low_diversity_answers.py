"""SFT417 low-diversity-answers: many rows have the same answer, or answers that begin the same.

Sees: one answer of eight tokens or more that a fifth of the rows give.

Cannot see: answers of a few tokens, where repetition is the task (labels, numbers); and answers
that say the same in other words.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> def row(i):
    ...     ids = (i, 7, *(range(8) if i % 2 else range(i, i + 8)))
    ...     return Sample(ids, ids, answers=((2, len(ids)),))
    >>> rows = tuple(row(i) for i in range(100, 140))
    >>> found = LowDiversityAnswersCheck().look(Inputs(train=Split("train", rows, 40)))
    >>> [(one.severity.label, one.evidence["rows"]) for one in found]
    [('warning', 20)]

References:
    The guide, row 3: data that is not diverse makes the output repeat itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import LEAST_ROWS, SHORT_ANSWER, Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

MANY = 0.2
"""Share of the rows with one and the same long answer for a warning: it becomes the likeliest reply
to anything. Half of it is a note."""


class LowDiversityAnswersCheck(Check):
    """Counts how often the most common answer occurs."""

    code: ClassVar[str] = "SFT417"
    name: ClassVar[str] = "low-diversity-answers"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("low-diversity-data",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        answers = [
            (sample.input_ids[start:end], index)
            for index, sample in enumerate(split.samples)
            for start, end in (sample.answers or ())[-1:]
        ]
        if len(answers) < LEAST_ROWS:
            return Skip("no_replies" if not answers else "few_rows", {"rows": LEAST_ROWS})
        long = Counter(answer for answer, _ in answers if len(answer) >= SHORT_ANSWER)
        if not long:
            return Skip("short_answers", {"tokens": SHORT_ANSWER})
        common, count = long.most_common(1)[0]
        if count < MANY / 2 * len(answers):
            return ()
        return [
            self.observation(
                Severity.WARNING if count >= MANY * len(answers) else Severity.INFO,
                evidence=share_of_rows(count, split) | {"tokens": len(common)},
                fixes=(FixText("thin_out"), FixText("sources")),
                example=next(index for answer, index in answers if answer == common),
            )
        ]
