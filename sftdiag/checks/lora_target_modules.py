"""SFT506 lora-target-modules: which layers the adapter adapts.

Sees: an adapter on attention projections only. The guide's table and newer evidence agree that all
linear layers are better; the guide's conservative preset takes q_proj and v_proj. And a mixture of
experts whose experts have no adapter, as transformers 5 keeps them as parameters, which neither
"all-linear" nor the names of the projections reach in many models.

Cannot see: architectures that name their layers otherwise: nothing is said of those.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = LoraTargetModulesCheck()
    >>> for context in (
    ...     RunContext(method="lora", target_modules=("all-linear",)),
    ...     RunContext(method="lora", target_modules=("q_proj", "up_proj")),
    ...     RunContext(method="lora", target_modules=("q_proj", "v_proj")),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    []
    ['info']
    >>> [found] = check.look(
    ...     Inputs(RunContext(method="lora", target_modules=("all-linear",), experts_bare=0.9))
    ... )
    >>> found.variant
    'experts'

References:
    sftdiag/ranges.py: every range with its source.
    findings/lora_leaves_the_experts_alone.sh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import out_of_reach
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import ATTENTION_MODULES

FUSED = frozenset({"qkv_proj", "c_attn", "query_key_value", "Wqkv"})
"""Attention projections of architectures that keep them in one matrix."""


class LoraTargetModulesCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT506"
    name: ClassVar[str] = "lora-target-modules"
    severity: ClassVar[Severity] = Severity.INFO
    causes: ClassVar[tuple[str, ...]] = ("adapter-capacity",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        modules = context.target_modules
        if not modules:
            return Skip("no_adapter")
        if (skip := out_of_reach(context)) is not None:
            return skip
        if context.experts_bare is not None:
            return [
                self.observation(
                    Severity.INFO,
                    series=ARGUMENTS,
                    variant="experts",
                    evidence={"share": context.experts_bare},
                    fixes=(FixText("experts"),),
                )
            ]
        names = {module.rpartition(".")[2] for module in modules}
        if not names <= {*ATTENTION_MODULES, *FUSED}:
            return ()
        shown = ", ".join(sorted(names))
        return [
            self.observation(
                Severity.INFO,
                series=ARGUMENTS,
                evidence={"modules": shown},
                fixes=(
                    FixText("all", changes={"LoraConfig.target_modules": (shown, "all-linear")}),
                ),
            )
        ]
