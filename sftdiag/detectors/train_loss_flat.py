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
from math import log, sqrt
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.ranges import LARGEST_VOCABULARY, LOWEST_LEARNING_RATE, SMALLEST_VOCABULARY
from sftdiag.records import LogRecord
from sftdiag.signals import AUTOCORRELATION, MOVED_ACCURACY, Block, Signals, mean, noise_scale
from sftdiag.values import Value

MIN_BLOCKS = 20
"""Block means needed after the warm-up: with fewer, the noise itself is known to worse than a
quarter of its value."""

MIN_BLOCKS_SIGNED = 4
"""Block means needed where a sign alone nearly settles it (a learning rate below every range, a
gradient norm of 0 or beyond any mean loss): the curve has only to agree."""

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

CHANCE_SHARE = 0.5
"""A pretrained model starts near 1 to 3 nats; half of ln V is 5 or more for every vocabulary of a
published language model."""

WEAK_GRAD_NORM = 0.5
"""A mean loss of several nats with a smaller gradient norm than this is stuck where it is: 0.2 on
the labelled one, 2 to 15 on healthy runs at such a loss, more where the loss is summed."""

LOW_ACCURACY = 0.3
"""Token accuracy below which a loss is no floor: healthy fine-tunes in the corpus end above 0.33,
flat ones sit at 0.00 to 0.24."""

NO_ACCURACY = 0.15
"""Token accuracy that no model at its floor has, whatever its entropy."""

LOSS_OVER_ENTROPY = 1.2
"""A model at its floor is calibrated: its loss equals its entropy within 10 % on healthy logs."""

HUGE_GRAD_NORM = 1e5
"""A mean loss's gradient norm is 0.01 to 300 in 99 % of public logs; 1e7 comes with a broken
scale or normalisation."""

DECISIVE = {"tiny_learning_rate", "zero_grad_norm", "huge_grad_norm"}  # they nearly settle it
CORROBORATING = frozenset({"known_vocabulary", "low_token_accuracy", "weak_grad_norm"})
"""Signs one of which a loss that fell first needs besides its level: sums look like high means."""

MOVED_EVAL = 0.03
"""A fall of the evaluation loss, as a share of it, that shows learning."""


class _Fall(Value):
    """The fall between the first and the last third of some blocks, and its upper bound."""

    level: float
    fall: float
    upper: float

    @property
    def lower(self) -> float:
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
        self._active: Detection | None = None
        self._flat_without_sign = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if not signals.block_closed or self._wait(signals) is not None:
            return ()
        losses = signals.block_losses
        if self._active is not None:
            return self._follow(_fall(losses), record.step)
        self._flat_without_sign = False
        if not _may_be_within(TOLERANCE_SIGNED, losses):
            return self._late(signals, record.step)
        whole = _fall(losses)
        signs = _signs(signals, whole.level, signals.blocks)
        decisive = bool(DECISIVE & signs.keys())
        if not decisive and len(losses) < MIN_BLOCKS:
            return ()
        if not whole.within(TOLERANCE_SIGNED if decisive else TOLERANCE):
            return self._late(signals, record.step)
        if _learns(signals, signals.blocks):
            return ()
        self._flat_without_sign = not signs
        return self._fire(signals, record.step, whole, signals.blocks, signs) if signs else ()

    def _late(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a loss that has not moved for the last half of the log, fallen before or not."""
        middle = len(signals.blocks) // 2
        losses = signals.block_losses[middle:]
        if len(losses) < MIN_BLOCKS or not _may_be_within(TOLERANCE, losses):
            return ()
        recent = _fall(losses)
        half = signals.blocks[middle:]
        if not recent.within(TOLERANCE) or _learns(signals, half):
            return ()
        signs = _signs(signals, recent.level, half)
        if "chance_loss" not in signs or not signs.keys() & CORROBORATING:
            return ()
        fell = _fall(signals.block_losses).lower > TOLERANCE * abs(recent.level)
        return self._fire(signals, step, recent, half, signs, "stuck" if fell else "default")

    def _fire(
        self,
        signals: Signals,
        step: int,
        fall: _Fall,
        blocks: Sequence[Block],
        signs: Mapping[str, Scalar],
        variant: str = "default",
    ) -> Sequence[Detection]:
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING if variant == "stuck" else Severity.ERROR,
            step,
            blocks[0].first_step,
            "loss",
            {
                "loss_first": signals.blocks[0].loss,
                "loss_last": blocks[-1].loss,
                "loss_level": fall.level,
                "fall": fall.fall,
                "fall_at_most": fall.upper,
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

    def _follow(self, whole: _Fall, step: int) -> Sequence[Detection]:
        """Resolve when the loss has, after all, surely fallen by more than the tolerance."""
        assert self._active
        level = float(self._active.evidence["loss_level"] or 0.0)
        if whole.lower < 3 * TOLERANCE * abs(level) or self._active.variant == "stuck":
            return ()
        resolved, self._active = self._active.replace(step=step, resolved=True), None
        return (resolved,)

    def _wait(self, signals: Signals) -> Skip | None:
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        count = len(signals.blocks)
        if count < MIN_BLOCKS_SIGNED:
            return Skip("few_points", {"points": count, "needed": MIN_BLOCKS})
        settled = signals.blocks[count - min(MIN_BLOCKS, count) // 2].last_step
        if signals.learning_rate_rises or settled < signals.peak_learning_rate_step:
            return Skip("warmup")
        if signals.progress is not None and signals.progress < MIN_SHARE:
            return Skip("early", {"share": MIN_SHARE})
        return None

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if self._active is None and self._flat_without_sign:
            return Skip("flat_or_converged", {"loss": signals.blocks[-1].loss})
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


def _fall(losses: Sequence[float]) -> _Fall:
    third = max(1, len(losses) // 3)
    first, last = _thirds(losses)
    error = noise_scale(losses) * sqrt(2 / third) * AUTOCORRELATION
    level = sum(losses) / len(losses)
    return _Fall(level, first - last, first - last + QUANTILE * error)


def _learns(signals: Signals, blocks: Sequence[Block]) -> bool:
    """Return whether another signal shows learning over these blocks although the loss is flat."""
    third = max(1, len(blocks) // 3)
    before = mean(block.mean_token_accuracy for block in blocks[:third])
    after = mean(block.mean_token_accuracy for block in blocks[-third:])
    if before is not None and after is not None and after - before > MOVED_ACCURACY:
        return True
    points = [
        point
        for point in signals.evaluations.get(signals.main_series or "", [])
        if point.step >= blocks[0].first_step
    ]
    return len(points) > 1 and points[-1].loss < (1 - MOVED_EVAL) * points[0].loss


def _signs(signals: Signals, level: float, blocks: Sequence[Block]) -> dict[str, Scalar]:
    """Return the signs that there was something to learn, each with its number."""
    signs: dict[str, Scalar] = {}
    chance = signals.context.chance_loss
    points = signals.evaluations.get(signals.main_series or "", [])
    lowest = min(level, points[-1].loss) if points else level
    if lowest >= CHANCE_SHARE * (chance or log(SMALLEST_VOCABULARY)):
        if chance is not None and level <= MOST * chance:
            signs["chance_loss"] = signs["known_vocabulary"] = chance
        elif chance is None and level <= log(LARGEST_VOCABULARY):
            signs["chance_loss"] = None
    rate = signals.peak_learning_rate
    if rate is not None and rate < LOWEST_LEARNING_RATE:
        signs["tiny_learning_rate"] = rate
    grad_norm = mean(block.grad_norm for block in blocks)
    if grad_norm is not None:
        if grad_norm == 0.0:
            signs["zero_grad_norm"] = grad_norm
        elif grad_norm > HUGE_GRAD_NORM:
            signs["huge_grad_norm"] = grad_norm
        elif grad_norm < WEAK_GRAD_NORM and "chance_loss" in signs:
            signs["weak_grad_norm"] = grad_norm
    accuracy = mean(block.mean_token_accuracy for block in blocks)
    entropy = mean(block.entropy for block in blocks)
    surprised = entropy is not None and level > LOSS_OVER_ENTROPY * entropy
    if accuracy is not None and accuracy < (LOW_ACCURACY if surprised else NO_ACCURACY):
        signs["low_token_accuracy"] = accuracy
    return signs
