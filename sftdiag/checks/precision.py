"""SFT509 precision: the number format against the guide's bf16.

Sees: fp16, whose small range overflows in some steps and loses small gradients: a note. With QLoRA
a warning: the guide asks for bf16 there, and a fifth of QLoRA's own 7B runs in fp16 did not
finish.

Cannot see: whether the GPU has bf16 (NVIDIA: Ampere and newer).

Example:
    >>> from sftdiag.context import RunContext
    >>> check = PrecisionCheck()
    >>> for context in (
    ...     RunContext(method="lora", precision="bf16"),
    ...     RunContext(method="lora", precision="fp16"),
    ...     RunContext(method="qlora", precision="fp16"),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']

References:
    The guide, symptom table (vanishing gradient). Dettmers et al. 2023, QLoRA, README.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip


class PrecisionCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT509"
    name: ClassVar[str] = "precision"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("quantization-or-dtype",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        if context.precision is None:
            return Skip("no_precision")
        if context.precision != "fp16":
            return ()
        quantized = context.method == "qlora"
        return [
            self.observation(
                Severity.WARNING if quantized else Severity.INFO,
                series=ARGUMENTS,
                variant="quantized" if quantized else "default",
                fixes=(FixText("bf16", changes={"SFTConfig.bf16": (None, "True")}),),
            )
        ]
