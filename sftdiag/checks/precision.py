"""SFT509 precision: the number format against the guide's bf16.

Sees: fp16, whose small range overflows in some steps and loses small gradients: a note. With QLoRA
a warning: the guide asks for bf16 there, and a fifth of QLoRA's own 7B runs in fp16 did not
finish. A warning, too, where the weights that are trained are float16 themselves: then nothing
scales the loss, and Adam's eps of 1e-8 is 0 in float16, whose smallest number is 6e-8, so that a
weight without a gradient becomes 0/0. And where the weights that the optimizer steps are bfloat16,
at a rate so small that nine of ten of them cannot take a step: bfloat16 has 8 bits, and what is
less than half of the last one is rounded away; an error where that holds of Adam's largest steps.
A note where Adam's second moment is bfloat16 with them and beta2 takes less than half of its last
bit off it: it rises and never falls, so that over a run of as many steps as beta2 remembers, steps
become smaller than the rate says (findings/bf16_adam_never_forgets_a_large_gradient.sh).

Cannot see: an optimizer that keeps what rounding takes off (its weights' scale is not looked at);
whether the GPU has bf16 (NVIDIA: Ampere and newer).

Example:
    >>> from sftdiag.context import RunContext
    >>> check = PrecisionCheck()
    >>> for context in (
    ...     RunContext(method="lora", precision="bf16"),
    ...     RunContext(method="lora", precision="fp16"),
    ...     RunContext(method="qlora", precision="fp16"),
    ...     RunContext(method="full", precision="fp32", trainable_dtype="float16"),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']
    ['warning']

References:
    The guide, symptom table (vanishing gradient). Dettmers et al. 2023, QLoRA, README. Micikevicius
    et al. 2018, Mixed Precision Training: a float32 copy of the weights and a scaled loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.context import RunContext
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import ADAM_BETA2

HALF_A_BIT = 2.0**-9
"""Of a number: what is less than half of the last of bfloat16's 8 bits changes no number. Half of
the bits are twice as coarse, so that a second moment surely falls from 2**-8 on, as at 0.99."""

FORGETFUL = ADAM_BETA2[1].low
"""A beta2 in use at which it falls: 0.95, of Llama 2."""

LARGEST_STEP = 0.1 / 0.001**0.5
"""Times the rate: no step of Adam is larger, at its usual betas of 0.9 and 0.999 (Kingma and Ba
2015, section 2.1)."""


class PrecisionCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT509"
    name: ClassVar[str] = "precision"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("quantization-or-dtype",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        if context.precision is None:
            return Skip("no_precision")
        if (rounded := self._rounded(context)) is not None:
            return [rounded]
        bare = context.trainable_dtype == "float16"
        if context.precision != "fp16" and not bare:
            return [*self._remembered(context)]
        quantized = context.method == "qlora"
        weights: Mapping[str, tuple[Scalar, Scalar]] = (
            {"model dtype": ("float16", "float32")} if bare else {}
        )
        return [
            self.observation(
                Severity.WARNING if bare or quantized else Severity.INFO,
                series=ARGUMENTS,
                variant="weights" if bare else "quantized" if quantized else "default",
                fixes=(
                    FixText(
                        "weights" if bare else "bf16",
                        changes={**weights, "SFTConfig.bf16": (None, "True")},
                    ),
                ),
            )
        ]

    def _remembered(self, context: RunContext) -> Iterator[Observation]:
        """Yield the note where Adam's second moment can only rise, for as long as it matters."""
        steps, betas = context.max_steps, context.adam_betas
        if context.trainable_dtype != "bfloat16" or not context.moments_as_weights:
            return
        forgets = 1.0 - betas[1] if betas is not None else 0.0
        # In fewer steps a second moment of float32 forgets little, too.
        if steps is None or not 0.0 < forgets < HALF_A_BIT or steps * forgets < 1.0 or not betas:
            return
        yield self.observation(
            Severity.INFO,
            series=ARGUMENTS,
            variant="remembered",
            evidence={"beta2": betas[1], "share": forgets, "least": HALF_A_BIT, "steps": steps},
            fixes=(
                FixText("forget", changes={"SFTConfig.adam_beta2": (betas[1], FORGETFUL)}),
                FixText("copies", changes={"model dtype": ("bfloat16", "float32")}),
            ),
        )

    def _rounded(self, context: RunContext) -> Observation | None:
        """Return the finding where Adam's steps, of about the rate, are below the weights' bits."""
        rate, scale = context.learning_rate, context.weight_scale
        if context.trainable_dtype != "bfloat16" or not rate or scale is None:
            return None
        least = HALF_A_BIT * scale
        if rate >= least or not context.adaptive:
            return None
        never = context.optim is not None and context.optim.startswith("adamw")
        never = never and LARGEST_STEP * rate < least
        return self.observation(
            Severity.ERROR if never else Severity.WARNING,
            series=ARGUMENTS,
            variant="rounded",
            evidence={"learning_rate": rate, "scale": scale, "least": least},
            fixes=(FixText("copies", changes={"model dtype": ("bfloat16", "float32")}),),
        )
