"""SFT407 double-bos: rows begin with the begin-of-text token twice.

Sees: rows whose first two tokens both are the tokenizer's begin-of-text token: the template wrote
one and the tokenizer added another. A note where plain text has none, though the chat template
begins every conversation with it and the tokenizer does not add it.

Cannot see: a template that writes another token by that name.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((1, 1, 5), (1, 1, 5))
    >>> inputs = Inputs(train=Split("train", (row,), 1), tokenization=Tokenization(bos_token_id=1))
    >>> [one.severity.label for one in DoubleBosCheck().look(inputs)]
    ['warning']

References:
    transformers documentation, chat templating: rendered text is tokenized with
    ``add_special_tokens=False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import PROMPT_COMPLETION, TEXT


class DoubleBosCheck(Check):
    """Looks at the first two tokens of each row."""

    code: ClassVar[str] = "SFT407"
    name: ClassVar[str] = "double-bos"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("chat-template",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.tokenization is None:
            return Skip("no_tokenizer")
        bos = inputs.tokenization.bos_token_id
        if bos is None:
            return Skip("no_bos")
        found = []
        for split in inputs.splits:
            twice = [i for i, s in enumerate(split.samples) if s.input_ids[:2] == (bos, bos)]
            if twice:
                found.append(
                    self.observation(
                        Severity.WARNING,
                        series=split.name,
                        evidence={
                            **share_of_rows(len(twice), split),
                            "token": inputs.tokenization.name(bos),
                        },
                        fixes=(FixText("no_special"),),
                        example=twice[0],
                    )
                )
        return found or self._missing(inputs, bos)

    def _missing(self, inputs: Inputs, bos: int) -> Sequence[Observation]:
        """Return that plain text begins without the token that conversations begin with."""
        split, known = inputs.train, inputs.tokenization
        if known is None or known.turns.begins != bos or known.adds_bos:
            return ()
        if split.format not in (TEXT, PROMPT_COMPLETION):
            return ()
        rows = [i for i, s in enumerate(split.samples) if bos not in s.input_ids]
        if len(rows) < len(split.samples):
            return ()
        return [
            self.observation(
                Severity.INFO,
                variant="missing",
                evidence={**share_of_rows(len(rows), split), "token": known.name(bos)},
                fixes=(FixText("add"),),
                example=rows[0],
            )
        ]
