"""Detectors: one pattern in the stream each. ``DETECTORS`` is the one table of them."""

from __future__ import annotations

from sftdiag.detectors._learning import has_learned, none_right, rate_beyond_any, scores_fell
from sftdiag.detectors._levels import ends_lost, repeats_itself, stands_high
from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.early_loss_jump import EarlyLossJumpDetector
from sftdiag.detectors.eval_loss_rising import EvalLossRisingDetector
from sftdiag.detectors.eval_not_finite import EvalNotFiniteDetector
from sftdiag.detectors.exploding_gradients import ExplodingGradientsDetector
from sftdiag.detectors.implausible_loss import ImplausibleLossDetector
from sftdiag.detectors.learning_rate_jump import LearningRateJumpDetector
from sftdiag.detectors.learning_rate_restarted import LearningRateRestartedDetector
from sftdiag.detectors.loss_above_chance import LossAboveChanceDetector
from sftdiag.detectors.loss_divergence import LossDivergenceDetector
from sftdiag.detectors.loss_oscillation import LossOscillationDetector
from sftdiag.detectors.loss_spike import LossSpikeDetector
from sftdiag.detectors.memorization import MemorizationDetector
from sftdiag.detectors.non_finite import NonFiniteDetector
from sftdiag.detectors.stalled import StalledDetector
from sftdiag.detectors.step_skipped_by_guard import StepSkippedByGuardDetector
from sftdiag.detectors.steps_skipped import StepsSkippedDetector
from sftdiag.detectors.throughput_fall import ThroughputFallDetector
from sftdiag.detectors.train_eval_scale_mismatch import TrainEvalScaleMismatchDetector
from sftdiag.detectors.train_loss_flat import TrainLossFlatDetector
from sftdiag.detectors.train_loss_rebound import TrainLossReboundDetector
from sftdiag.detectors.warmup_to_the_end import WarmupToTheEndDetector
from sftdiag.detectors.zero_loss import ZeroLossDetector

DETECTORS: tuple[type[Detector], ...] = (
    TrainLossFlatDetector,
    TrainLossReboundDetector,
    LossOscillationDetector,
    LossDivergenceDetector,
    LossSpikeDetector,
    NonFiniteDetector,
    ZeroLossDetector,
    LossAboveChanceDetector,
    EarlyLossJumpDetector,
    LearningRateRestartedDetector,
    ImplausibleLossDetector,
    StepsSkippedDetector,
    StepSkippedByGuardDetector,
    StalledDetector,
    ThroughputFallDetector,
    LearningRateJumpDetector,
    ExplodingGradientsDetector,
    WarmupToTheEndDetector,
    EvalLossRisingDetector,
    MemorizationDetector,
    EvalNotFiniteDetector,
    TrainEvalScaleMismatchDetector,
)
"""In the order of their codes."""

__all__ = [
    "DETECTORS",
    "Detector",
    "Skip",
    "ends_lost",
    "has_learned",
    "none_right",
    "rate_beyond_any",
    "repeats_itself",
    "scores_fell",
    "stands_high",
]
