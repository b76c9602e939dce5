"""SFT514 embeddings-untied: an adapter trains one of two embeddings that the model shares.

Sees: a model whose input and output embeddings are one tensor, and an adapter that trains a copy
of one of them alone (modules_to_save or target_modules with only embed_tokens or lm_head). What is
learned, such as the rows of new tokens, does not reach the other end; merged or reloaded without
the adapter's own code, one of the two is lost.

Cannot see: adapters that are no PEFT adapters.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = EmbeddingsUntiedCheck()
    >>> context = RunContext(method="lora", untied_embeddings="input")
    >>> [found.severity.label for found in check.look(Inputs(context))]
    ['warning']

References:
    PEFT 0.21, LoraConfig.ensure_weight_tying and trainable_token_indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip


class EmbeddingsUntiedCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT514"
    name: ClassVar[str] = "embeddings-untied"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("frozen-parameters",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        if context.method not in ("lora", "qlora"):
            return Skip("no_adapter")
        if context.untied_embeddings is None:
            return ()
        return [
            self.observation(
                Severity.WARNING,
                series=ARGUMENTS,
                variant="input" if context.untied_embeddings == "input" else "output",
                fixes=(
                    FixText("tie", changes={"LoraConfig.ensure_weight_tying": (False, True)}),
                    FixText("indices"),
                ),
            )
        ]
