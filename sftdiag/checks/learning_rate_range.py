"""SFT501 learning-rate-range: the peak learning rate against the ranges of the method.

Sees: a rate outside every range of newer evidence, where there is some, else outside the guide's.
That is a note that shows both, also when the rate is inside the guide's (LoRA at the full rate);
far outside of all of them (a factor of 10) is a warning where the model's size is known, and all
that is said of a model smaller than those that the sources trained. Of any model: a rate of 0
trains nothing, an error; with Adam one of 0.05 or more is a warning.

Cannot see: what is right for this model and these rows; a small model bears, and may need, more. A
sweep over a few rates answers that.

Example:
    >>> from sftdiag.checks.base import Inputs
    >>> from sftdiag.context import RunContext
    >>> check = LearningRateRangeCheck()
    >>> for rate in (2e-5, 1e-4, 1e-2, 0.0):
    ...     context = RunContext(method="full", learning_rate=rate, total_parameters=10**9)
    ...     print(rate, [found.severity.label for found in check.look(Inputs(context))])
    2e-05 []
    0.0001 ['info']
    0.01 ['warning']
    0.0 ['error']

References:
    sftdiag/ranges.py: every range with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import at_most, is_smaller_than_ranges, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import (
    FAR,
    LEARNING_RATE,
    LEAST_LEARNING_RATE,
    SGD_LEARNING_RATE,
    SMALL_MODEL_RATE,
    USUAL_LEARNING_RATE,
    Range,
    beyond_any,
    bound_of_any,
    come_from,
)


class LearningRateRangeCheck(Check):
    """Compares the peak rate with the ranges of the run's method."""

    code: ClassVar[str] = "SFT501"
    name: ClassVar[str] = "learning-rate-range"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-too-low", "learning-rate-too-high")
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        rate, method = context.learning_rate, context.method
        if rate is None:
            return Skip("no_learning_rate")
        if rate <= 0:
            return [self._of_any_model(Severity.ERROR, "zero", rate, method)]
        if method not in LEARNING_RATE:
            return Skip("no_method")
        if beyond_any(rate, method, adaptive=context.adaptive):
            variant = "any_model" if context.adaptive else "any_model_sgd"
            return [self._of_any_model(Severity.WARNING, variant, rate, method)]
        if not context.adaptive:
            return Skip("not_adaptive")
        if rate < LEAST_LEARNING_RATE:
            return [self._of_any_model(Severity.WARNING, "nothing_moves", rate, method)]
        if is_smaller_than_ranges(context):
            return Skip("small_model", {"parameters": context.total_parameters})
        ranges = LEARNING_RATE[method]
        if any(rate in known for known in ranges[1:] or ranges):
            return ()
        usual, far = USUAL_LEARNING_RATE[method], _far_out(rate, ranges)
        small = not come_from(context.total_parameters)
        if small and (not far or usual < rate <= SMALL_MODEL_RATE):
            return ()
        return [
            self.observation(
                at_most(Severity.WARNING, context) if far else Severity.INFO,
                cause=self.causes[rate > usual],
                series=ARGUMENTS,
                variant="one_source" if len(ranges) == 1 else "default",
                evidence={"method": method, "learning_rate": rate, **sources(ranges)},
                fixes=(FixText("usual", changes={"SFTConfig.learning_rate": (rate, usual)}),),
            )
        ]

    def _of_any_model(
        self, severity: Severity, variant: str, rate: float, method: str | None
    ) -> Observation:
        usual = USUAL_LEARNING_RATE.get(method or "", USUAL_LEARNING_RATE["full"])
        bound, fix = LEAST_LEARNING_RATE, "usual"
        if variant == "any_model":
            bound = bound_of_any(adaptive=True)
        elif variant == "any_model_sgd":
            bound, usual, fix = bound_of_any(adaptive=False), SGD_LEARNING_RATE, "usual_sgd"
        return self.observation(
            severity,
            cause=self.causes[variant.startswith("any_model")],
            series=ARGUMENTS,
            variant=variant,
            evidence={"learning_rate": rate, "bound": bound},
            fixes=(FixText(fix, changes={"SFTConfig.learning_rate": (rate, usual)}),),
        )


def _far_out(rate: float, ranges: Sequence[Range]) -> bool:
    low, high = min(known.low for known in ranges), max(known.high for known in ranges)
    return not low / FAR <= rate <= high * FAR
