"""SFT101 train-loss-flat: the training loss hardly moves, at a level that is no floor.

An equivalence test on block means: flat means that the *upper* bound of the fall is small against
the loss, never that no fall could be shown. A flat loss alone is no fault, since a run may start
at its floor; so at least one sign must say that there was something to learn:

- the level: at or above half of ln V, what a blind guess over the vocabulary costs;
- the learning rate: its peak is below every range in use;
- the gradient norm: exactly 0, or so large that it cannot be a mean loss's;
- the token accuracy: near 0, or low with a loss well above the entropy of the predictions.

A loss that first fell and then stuck at such a level is a warning, when a known vocabulary, the
token accuracy or a weak gradient agrees: a summed loss looks the same.

Cannot tell a classifier stuck at ln(classes) from one at its floor; says nothing in reinforcement
learning and preference logs, while the learning rate climbs, or when another signal shows learning.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 60):
...     row = {"step": step, "loss": 11.3 + 0.01 * (step % 3), "learning_rate": 2e-5}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
20 SFT101 error 1

References:
    Schuirmann (1987), the two one-sided tests procedure for equivalence;
    Karpathy, "A recipe for training neural networks" (check the loss at the start against ln V).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import ClassVar

from sftdiag.detectors._flat_signs import CORROBORATING, DECISIVE, signs_of_a_fault
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.ranges import LOWEST_LEARNING_RATE
from sftdiag.records import LogRecord
from sftdiag.signals.blocks import Block
from sftdiag.signals.noise import AUTOCORRELATION, MOVED_ACCURACY, mean, noise_scale
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

MIN_BLOCKS = 20
"""Block means needed after the warm-up: with fewer, the noise itself is known to worse than a
quarter of its value."""

MIN_BLOCKS_SIGNED = 4
"""Block means needed where a sign alone nearly settles it (a learning rate below every range, a
gradient norm of 0 or beyond any mean loss): the curve has only to agree."""

ZERO_GRADIENT_ROWS = 5
"""Rows from the first on, each with a gradient norm of exactly 0, that say alone that nothing is
trained: on healthy public logs it is 0 for at most three rows, and never in the first ones."""

MIN_SHARE = 0.1
"""Share of the planned steps that must be done, where the plan is known."""

TOLERANCE = 0.02
"""The fall that still counts as none, as a share of the loss. Labelled flat runs fell 0 to 0.7 %
between the thirds of the log; healthy ones that start near their floor 1 to 3 %."""

TOLERANCE_SIGNED = 0.05
"""The same where such a sign is there: the labelled runs with one fell by 0 to 3.7 %."""

QUANTILE = 2.5
"""Standard errors between the fall and its upper bound: one-sided 0.6 % a look, and looks at the
same blocks are nearly the same look."""

NEAR_CHANCE = 0.8
"""Share of the known ln V from which the loss is a blind guess and no floor, so that
TOLERANCE_SIGNED holds: a model that learns anything leaves it at once."""

STUCK = "stuck"
"""The variant of a loss that fell first."""

MOVED_EVAL = 0.03
"""A fall of the evaluation loss, as a share of it, that shows learning."""


class Fall(Value):
    """The fall between the first and the last third of some losses, and its upper bound.

    ``level`` is their mean; all in the loss's unit.
    """

    level: float
    fall: float
    upper: float

    @property
    def lower(self) -> float:
        """The lower bound of the fall."""
        return 2 * self.fall - self.upper

    def within(self, tolerance: float) -> bool:
        """Return whether the loss has surely neither fallen nor risen by more than a share."""
        bound = tolerance * abs(self.level)
        return self.upper < bound and self.lower > -2 * bound


class TrainLossFlatDetector(Detector):
    """Fires when the loss is flat and a sign says that it should not be."""

    code: ClassVar[str] = "SFT101"
    name: ClassVar[str] = "train-loss-flat"
    severity: ClassVar[Severity] = Severity.ERROR
    blocks_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._flat_without_sign = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if not signals.block_closed:
            return ()
        if self._active is None and (found := self._untrained(signals, record.step)):
            return found
        if self._wait(signals) is not None:
            return ()
        losses = signals.block_losses
        if self._active is not None:
            return self._follow(fall_of(losses), record.step)
        self._flat_without_sign = False
        if not _may_be_within(TOLERANCE_SIGNED, losses):
            return self._late(signals, record.step)
        whole = fall_of(losses)
        signs = signs_of_a_fault(signals, whole.level, signals.blocks)
        decisive = bool(DECISIVE & signs.keys())
        if not decisive and len(losses) < MIN_BLOCKS:
            return ()
        wide = decisive or _near_chance(signals, whole.level)
        if not whole.within(TOLERANCE_SIGNED if wide else TOLERANCE):
            return self._late(signals, record.step)
        if _learns(signals, signals.blocks):
            return ()
        self._flat_without_sign = not signs
        return self._fire(signals, record.step, whole, signals.blocks, signs) if signs else ()

    def _untrained(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a gradient of exactly 0 from the first row on; no warm-up explains that."""
        blocks = signals.blocks
        if signals.objective is not None or len(blocks) < ZERO_GRADIENT_ROWS:
            return ()
        if any(block.grad_norm != 0.0 or block.loss <= 0.0 for block in blocks):
            return ()
        whole = fall_of(signals.block_losses)
        if whole.lower > TOLERANCE * whole.level:
            return ()
        return self._fire(signals, step, whole, blocks, {"zero_grad_norm": 0.0})

    def _late(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a loss that has not moved for the last half of the log, fallen before or not."""
        middle = len(signals.blocks) // 2
        losses = signals.block_losses[middle:]
        if len(losses) < MIN_BLOCKS or not _may_be_within(TOLERANCE, losses):
            return ()
        recent = fall_of(losses)
        half = signals.blocks[middle:]
        if not recent.within(TOLERANCE) or _learns(signals, half):
            return ()
        signs = signs_of_a_fault(signals, recent.level, half)
        if "chance_loss" not in signs or not signs.keys() & CORROBORATING:
            return ()
        fell = fall_of(signals.block_losses).lower > TOLERANCE * abs(recent.level)
        return self._fire(signals, step, recent, half, signs, STUCK if fell else "default")

    def _fire(
        self,
        signals: Signals,
        step: int,
        fall: Fall,
        blocks: Sequence[Block],
        signs: Mapping[str, Scalar],
        variant: str = "default",
    ) -> Sequence[Detection]:
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING if variant == STUCK else Severity.ERROR,
            step,
            blocks[0].first_step,
            "loss",
            {
                "loss_first": signals.blocks[0].loss,
                "loss_last": blocks[-1].loss,
                "loss_level": fall.level,
                "fall": fall.fall,
                "fall_at_most": max(0.0, fall.upper),
                "noise": noise_scale([block.loss for block in blocks]),
                "peak_learning_rate": signals.peak_learning_rate,
                "grad_norm": mean(block.grad_norm for block in blocks),
                "entropy": mean(block.entropy for block in blocks),
                "mean_token_accuracy": mean(block.mean_token_accuracy for block in blocks),
                **signs,
            },
            variant=variant,
        )
        return (self._active,)

    def _follow(self, whole: Fall, step: int) -> Sequence[Detection]:
        """Resolve when the loss has, after all, surely fallen by more than the tolerance."""
        assert self._active
        level = float(self._active.evidence["loss_level"] or 0.0)
        if whole.lower < 3 * TOLERANCE * abs(level) or self._active.variant == STUCK:
            return ()
        return self._end(step)

    def _wait(self, signals: Signals) -> Skip | None:
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        count = len(signals.blocks)
        if count < MIN_BLOCKS_SIGNED:
            return Skip("few_points", {"points": count, "needed": MIN_BLOCKS})
        rate = signals.peak_learning_rate
        tiny = rate is not None and rate < LOWEST_LEARNING_RATE
        # What a rate below every range did not do while it climbed it will not do at its peak.
        looked_at = MIN_BLOCKS_SIGNED if tiny else MIN_BLOCKS
        settled = signals.blocks[count - min(looked_at, count) // 2].last_step
        if signals.learning_rate_rises or settled < signals.peak_learning_rate_step:
            return Skip("warmup")
        if signals.progress is not None and signals.progress < MIN_SHARE:
            return Skip("early", {"share": MIN_SHARE})
        return None

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if self._active is None and self._flat_without_sign:
            logged = signals.blocks[-1].mean_token_accuracy is not None
            key = "flat_with_accuracy" if logged else "flat_or_converged"
            return Skip(key, {"loss": signals.blocks[-1].loss})
        waiting = self._wait(signals)
        if waiting is None and self._active is None and len(signals.blocks) < MIN_BLOCKS:
            return Skip("few_points", {"points": len(signals.blocks), "needed": MIN_BLOCKS})
        return waiting


def _thirds(losses: Sequence[float]) -> tuple[float, float]:
    """Return the means of the first and the last third."""
    third = max(1, len(losses) // 3)
    return sum(losses[:third]) / third, sum(losses[-third:]) / third


def _may_be_within(tolerance: float, losses: Sequence[float]) -> bool:
    """Return False when the fall alone, whatever its error, is too large: cheap, and mostly so."""
    first, last = _thirds(losses)
    bound = tolerance * abs(sum(losses)) / len(losses)
    return -2 * bound <= first - last <= bound


def fall_of(losses: Sequence[float]) -> Fall:
    """Return the fall of at least one block mean; infinitely uncertain for fewer than four."""
    third = max(1, len(losses) // 3)
    first, last = _thirds(losses)
    error = noise_scale(losses) * sqrt(2 / third) * AUTOCORRELATION
    level = sum(losses) / len(losses)
    return Fall(level, first - last, first - last + QUANTILE * error)


def _near_chance(signals: Signals, level: float) -> bool:
    """Return whether the loss is about what a blind guess over the known vocabulary costs."""
    chance = signals.context.chance_loss
    return chance is not None and NEAR_CHANCE * chance <= level <= MOST * chance


def _learns(signals: Signals, blocks: Sequence[Block]) -> bool:
    """Return whether another signal shows learning over these blocks although the loss is flat."""
    third = max(1, len(blocks) // 3)
    before = mean(block.mean_token_accuracy for block in blocks[:third])
    after = mean(block.mean_token_accuracy for block in blocks[-third:])
    if before is not None and after is not None and after - before > MOVED_ACCURACY:
        return True
    points = [point for point in signals.main_evaluations if point.step >= blocks[0].first_step]
    return len(points) > 1 and points[-1].loss < (1 - MOVED_EVAL) * points[0].loss
