"""SFT411 special-tokens-untrained: rows use added tokens that an adapter leaves as they were.

Sees: tokens beyond the vocabulary that the base model was saved with, in rows of a run whose
adapter does not train their embeddings, or those of some of them only: they keep the values that
they were made with.

Cannot see: tokens that the saved vocabulary had room for, and base models that are not on this
disk.

Example:
    >>> from sftdiag.context import RunContext
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> known = Tokenization(untrained_token_ids=(9,))
    >>> split = Split("train", (Sample((9, 4), (9, 4)),), 1)
    >>> inputs = Inputs(RunContext(method="lora"), split, tokenization=known)
    >>> [one.severity.label for one in SpecialTokensUntrainedCheck().look(inputs)]
    ['warning']

References:
    PEFT documentation, LoRA: trainable_token_indices and modules_to_save for new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip


class SpecialTokensUntrainedCheck(Check):
    """Looks for new tokens in the rows of an adapter's run."""

    code: ClassVar[str] = "SFT411"
    name: ClassVar[str] = "special-tokens-untrained"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("frozen-parameters",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split, known = inputs.train, inputs.tokenization
        skip = without_rows(split)
        if skip is not None:
            return skip
        if known is None:
            return Skip("no_tokenizer")
        if inputs.context.method not in ("lora", "qlora"):
            return Skip("no_adapter")
        new = frozenset(known.untrained_token_ids)
        rows = [i for i, s in enumerate(split.samples) if not new.isdisjoint(s.input_ids)]
        if not rows:
            return ()
        used = sorted({t for i in rows for t in split.samples[i].input_ids if t in new})
        now = list(known.trained_token_ids)
        wanted = sorted({*now, *used})
        change: dict[str, tuple[Scalar, Scalar]] = {
            "LoraConfig.trainable_token_indices": (str(now) if now else None, str(wanted))
        }
        return [
            self.observation(
                Severity.WARNING,
                evidence={
                    **share_of_rows(len(rows), split),
                    "tokens": ", ".join(known.name(token) for token in used),
                },
                fixes=(FixText("indices", changes=change), FixText("modules")),
                example=rows[0],
            )
        ]
