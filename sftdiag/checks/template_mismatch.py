"""SFT410 template-mismatch: rows are written in another chat template than the tokenizer's.

Sees: rows with the marks of another known template than the tokenizer's own, training and
evaluation rows in different ones, and a tokenizer whose template is not the one saved beside it (a
note).

Cannot see: templates that leave no mark that is known, and what the model was trained with before.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((5, 6), (5, 6), style="Alpaca")
    >>> known = Tokenization(has_template=True)
    >>> inputs = Inputs(train=Split("train", (row,), 1), tokenization=known)
    >>> [(one.severity.label, one.variant) for one in TemplateMismatchCheck().look(inputs)]
    [('warning', 'not_own')]

References:
    The guide, rows 1 and 6: a wrong chat template keeps the loss from falling and makes replies
    unnatural.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import ARGUMENTS, Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import OWN_STYLE, Split

MOST = 0.5
"""Share of the rows that must have a style for it to be the set's."""


class TemplateMismatchCheck(Check):
    """Compares the marks that templates leave in rows."""

    code: ClassVar[str] = "SFT410"
    name: ClassVar[str] = "template-mismatch"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("chat-template", "eval-distribution")

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.tokenization is None:
            return Skip("no_tokenizer")
        return tuple(self._found(inputs))

    def _found(self, inputs: Inputs) -> Iterator[Observation]:
        known = inputs.tokenization
        style = _style(inputs.train)
        if style not in (None, OWN_STYLE) and known is not None and known.has_template:
            rows = [i for i, s in enumerate(inputs.train.samples) if s.style == style]
            yield self.observation(
                Severity.WARNING,
                variant="not_own",
                evidence={**share_of_rows(len(rows), inputs.train), "style": style},
                fixes=(FixText("own"),),
                example=rows[0],
            )
        for split in inputs.evaluations:
            other = _style(split) if split.samples else style
            if other != style:
                yield self.observation(
                    Severity.WARNING,
                    cause=self.causes[1],
                    series=split.name,
                    variant="eval_differs",
                    evidence={"train_style": style or "-", "eval_style": other or "-"},
                    fixes=(FixText("same"),),
                    example=0,
                )
        if known is not None and known.differs_from_saved:
            yield self.observation(
                Severity.INFO, series=ARGUMENTS, variant="replaced", fixes=(FixText("saved"),)
            )


def _style(split: Split) -> str | None:
    """Return the style that most rows of a set have; None when most have no known one."""
    style, rows = Counter(sample.style for sample in split.samples).most_common(1)[0]
    return style if rows >= MOST * len(split.samples) else None
