"""SFT512 optimizer-settings: gradient clipping and the constants of Adam.

Sees: a norm to clip to that is far below every source, or so small that each weight's part of it
is near Adam's epsilon, which then takes the place of the gradient; betas with which Adam need not
converge (beta1 squared above the root of beta2, as where the two are swapped); an epsilon that is
larger than gradients are. Values outside every source are notes. Of SGD, whose steps no running
square scales up again: a norm to clip to with which not even the largest step moves the weights.

Cannot see: optimizers of other kinds than Adam's and SGD, and those made by hand.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = OptimizerSettingsCheck()
    >>> for context in (
    ...     RunContext(max_grad_norm=1.0, adam_betas=(0.9, 0.999), adam_epsilon=1e-8),
    ...     RunContext(max_grad_norm=0.05),
    ...     RunContext(max_grad_norm=1e-5),
    ...     RunContext(adam_betas=(0.999, 0.9)),
    ...     RunContext(
    ...         optim="sgd", max_grad_norm=1e-3, learning_rate=0.1, trainable_parameters=10**8
    ...     ),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']
    ['warning']
    ['warning']

References:
    sftdiag/ranges.py: every range with its source. Kingma and Ba 2015, theorem 4.1: the bound
    needs beta1 squared / sqrt(beta2) below 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import ClassVar

from sftdiag.checks._hyperparameters import reach, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.context import SGD, RunContext
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import (
    ADAM_BETA1,
    ADAM_BETA2,
    ADAM_EPSILON,
    GRADIENT_CLIP,
    LEAST_LEARNING_RATE,
    LOWEST_LEARNING_RATE,
    Range,
)

FAR = 100.0
"""Factor below the smallest norm of any source: Adam takes out a factor that is the same at every
step, and not one that only the large gradients meet, nor one that leads to its epsilon. Of SGD the
factor between a weight's part of the largest step that the clip leaves and the rate below which no
source trained: a step of Adam moves each weight by about its rate. SGD goes the steepest way, so it
learns with less: runs that do move each weight by up to 9e-6 to 2e-5, at a clip of 1."""

NEAR_EPSILON = 10.0
"""Times epsilon up to which a weight's part of the norm gives steps that are a tenth too small."""

LARGE_EPSILON = 1e-3
"""Above the gradients of single weights: at a norm of 1 they are 1e-4 for 100 million weights."""

SHORT_MEMORY, LONG_MEMORY = 0.5, 0.995
"""A second moment of two steps is the last gradient; a first moment of 200 steps acts on what was
right long ago."""


class OptimizerSettingsCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT512"
    name: ClassVar[str] = "optimizer-settings"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("optimizer-settings",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        known = (context.max_grad_norm, context.adam_betas, context.adam_epsilon)
        if all(value is None for value in known):
            return Skip("no_arguments")
        if context.optim == SGD:
            return [*self._steps_of_sgd(context)]
        if not _is_adam(context):
            return Skip("not_adaptive")
        return [*self._clip(context), *self._betas(context), *self._epsilon(context)]

    def _clip(self, context: RunContext) -> Iterator[Observation]:
        clip = context.max_grad_norm
        low = reach(GRADIENT_CLIP)[0]
        # 0 is no clipping in transformers.
        if not clip or clip >= low:
            return
        part = _part(clip, context.trainable_parameters)
        epsilon = context.adam_epsilon or ADAM_EPSILON[0].high
        starved = part is not None and part <= NEAR_EPSILON * epsilon
        rate = context.learning_rate or 1.0
        nothing = starved and part is not None and rate * part / epsilon <= LEAST_LEARNING_RATE
        yield self._setting(
            clip <= low / FAR or starved,
            "starved" if starved else "clip",
            {"value": clip, "part": part, "epsilon": epsilon},
            GRADIENT_CLIP,
            FixText("clip", changes={"SFTConfig.max_grad_norm": (clip, GRADIENT_CLIP[0].high)}),
            nothing=nothing,
        )

    def _steps_of_sgd(self, context: RunContext) -> Iterator[Observation]:
        clip, rate = context.max_grad_norm, context.learning_rate
        if not clip or not rate:
            return
        step = _part(rate * clip, context.trainable_parameters)
        if step is None or step > LOWEST_LEARNING_RATE / FAR:
            return
        wanted = GRADIENT_CLIP[0].high
        yield self._setting(
            True,
            "sgd",
            {"value": clip, "rate": rate, "step": step, "lowest": LOWEST_LEARNING_RATE},
            GRADIENT_CLIP,
            FixText("clip", changes={"SFTConfig.max_grad_norm": (clip, wanted)})
            if clip < reach(GRADIENT_CLIP)[0]
            else FixText("sgd_rate"),
        )

    def _betas(self, context: RunContext) -> Iterator[Observation]:
        if context.adam_betas is None:
            return
        one, two = context.adam_betas
        usual = (ADAM_BETA1[0].high, ADAM_BETA2[0].high)
        changes: dict[str, tuple[Scalar, Scalar]] = {
            f"SFTConfig.adam_beta{place}": (value, wanted)
            for place, value, wanted in ((1, one, usual[0]), (2, two, usual[1]))
            if value != wanted
        }
        unbounded = one * one >= sqrt(max(two, 0.0))
        low, high = reach(ADAM_BETA1)
        if unbounded or not low <= one <= high:
            yield self._setting(
                unbounded or one >= LONG_MEMORY,
                "unbounded" if unbounded else "beta1",
                {"value": one, "beta2": two},
                ADAM_BETA1,
                FixText("betas", changes=changes),
            )
        low, high = reach(ADAM_BETA2)
        if not unbounded and not low <= two <= high:
            yield self._setting(
                two <= SHORT_MEMORY,
                "beta2",
                {"value": two},
                ADAM_BETA2,
                FixText("betas", changes=changes),
            )

    def _epsilon(self, context: RunContext) -> Iterator[Observation]:
        epsilon = context.adam_epsilon
        if epsilon is None or epsilon <= reach(ADAM_EPSILON)[1]:
            return
        change = {"SFTConfig.adam_epsilon": (epsilon, ADAM_EPSILON[0].high)}
        yield self._setting(
            epsilon >= LARGE_EPSILON,
            "epsilon",
            {"value": epsilon},
            ADAM_EPSILON,
            FixText("epsilon", changes=change),
        )

    def _setting(
        self,
        far: bool,
        variant: str,
        values: dict[str, Scalar],
        ranges: Sequence[Range],
        fix: FixText,
        *,
        nothing: bool = False,
    ) -> Observation:
        return self.observation(
            Severity.ERROR if nothing else Severity.WARNING if far else Severity.INFO,
            series=ARGUMENTS,
            variant=variant,
            evidence={**values, **sources(ranges)},
            fixes=(fix,),
        )


def _is_adam(context: RunContext) -> bool:
    return context.optim is None or "adam" in context.optim


def _part(clip: float, parameters: int | None) -> float | None:
    """Return a weight's part of a gradient of this norm, or None."""
    return clip / sqrt(parameters) if parameters else None
