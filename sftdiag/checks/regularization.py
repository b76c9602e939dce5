"""SFT511 regularization: weight decay, label smoothing and the model's dropout.

Sees: values above every source; a note. Far above (weight decay of 1, half of the label or half of
the activations) is a warning, as is a weight decay that takes a tenth off every weight over the
run: a step takes off the rate times the decay. An error is what no gradient can make up for: a
smoothing that puts more of each target on other tokens than on the right one, and a decay that
takes so much that three matrices in a row keep half, by steps larger than Adam's own.

Cannot see: whether it is meant against overfitting, and an optimizer of your own.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = RegularizationCheck()
    >>> for context in (
    ...     RunContext(weight_decay=0.01, label_smoothing=0.0, model_dropout=0.1),
    ...     RunContext(weight_decay=0.3),
    ...     RunContext(label_smoothing=0.5),
    ...     RunContext(label_smoothing=0.9),
    ...     RunContext(weight_decay=0.1, learning_rate=1e-2, max_steps=1000),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']
    ['error']
    ['warning']

References:
    sftdiag/ranges.py: every range with its source. Loshchilov and Hutter 2019, Decoupled Weight
    Decay Regularization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp
from typing import ClassVar, NamedTuple

from sftdiag.checks._hyperparameters import sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import LABEL_SMOOTHING, MODEL_DROPOUT, WEIGHT_DECAY, Range

MUCH_DECAY = 1.0
"""Ten times the largest decay of any source."""

HALF = 0.5
"""Of the label or of the activations: five times every source; the loss cannot become small."""

LOST = 0.1
"""Share of every weight that the decay takes off over the run, as far as no gradient holds it."""

MELTED = 1.0 - HALF ** (1 / 3)
"""The same from which three matrices one after the other, as a gated MLP has them, give less than
half of what they gave."""

STRONGER = 50.0
"""Weight decay above which it takes more off a weight of 0.02, as layers of width 2500 have them,
than Adam's step of about the rate can put back. At 100, 46 % taken off cost a fine-tune of a small
model 44 % of what its healthy twins learned; a smoothing of 0.9 left it worse than its base."""

MEAN_RATE = 0.5
"""Of the peak, as a schedule that falls to 0 has it."""


class _Setting(NamedTuple):
    variant: str
    value: float | None
    ranges: tuple[Range, ...]
    far: float
    argument: str
    usual: float


class RegularizationCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT511"
    name: ClassVar[str] = "regularization"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("regularization",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        settings = _settings(context)
        if all(one.value is None for one in settings):
            return Skip("no_arguments")
        return list(self._judge(context, settings))

    def _judge(self, context: RunContext, settings: Sequence[_Setting]) -> Iterator[Observation]:
        lost = _lost(context)
        for one in settings:
            if one.value is None:
                continue
            high = max(known.high for known in one.ranges)
            melts = one.variant == "decay" and lost is not None and lost >= LOST
            if one.value <= high and not melts:
                continue
            far = Severity.WARNING if melts or one.value >= one.far else Severity.INFO
            yield self.observation(
                Severity.ERROR if _ruins(one, lost) else far,
                series=ARGUMENTS,
                variant="melts" if melts else one.variant,
                evidence={"value": one.value, "lost": lost, **sources(one.ranges)},
                fixes=(FixText(one.variant, changes={one.argument: (one.value, one.usual)}),),
            )


def _ruins(one: _Setting, lost: float | None) -> bool:
    """Return whether the setting alone keeps the model from learning its targets."""
    if one.variant == "smoothing":
        return one.value is not None and one.value > HALF
    melted = one.variant == "decay" and lost is not None and lost >= MELTED
    return melted and one.value is not None and one.value > STRONGER


def _settings(context: RunContext) -> tuple[_Setting, ...]:
    smoothing, dropout = context.label_smoothing, context.model_dropout
    return (
        _Setting(
            "decay", context.weight_decay, WEIGHT_DECAY, MUCH_DECAY, "SFTConfig.weight_decay", 0.01
        ),
        _Setting(
            "smoothing",
            smoothing,
            LABEL_SMOOTHING,
            HALF,
            "SFTConfig.label_smoothing_factor",
            0.0,
        ),
        _Setting("dropout", dropout, MODEL_DROPOUT, HALF, "model.config.attention_dropout", 0.0),
    )


def _lost(context: RunContext) -> float | None:
    """Return the share of a weight that decay alone takes off over the run, or None."""
    decay, rate, steps = context.weight_decay, context.learning_rate, context.max_steps
    if decay is None or rate is None or steps is None:
        return None
    return 1.0 - exp(-decay * rate * MEAN_RATE * steps)
