"""Checks: one thing to look at before step 1 each. ``CHECKS`` is the one table of them."""

from __future__ import annotations

from sftdiag.checks._easy_answers import easy_answers
from sftdiag.checks._shares import undetected
from sftdiag.checks.answers_of_other_rows import AnswersOfOtherRowsCheck
from sftdiag.checks.answers_truncated import AnswersTruncatedCheck
from sftdiag.checks.answers_untrained import AnswersUntrainedCheck
from sftdiag.checks.base import Check, Inputs
from sftdiag.checks.best_model_metric import BestModelMetricCheck
from sftdiag.checks.content_left_out import ContentLeftOutCheck
from sftdiag.checks.double_bos import DoubleBosCheck
from sftdiag.checks.duplicate_rows import DuplicateRowsCheck
from sftdiag.checks.effective_batch_size import EffectiveBatchSizeCheck
from sftdiag.checks.embeddings_untied import EmbeddingsUntiedCheck
from sftdiag.checks.empty_answers import EmptyAnswersCheck
from sftdiag.checks.end_of_turn_untrained import EndOfTurnUntrainedCheck
from sftdiag.checks.epoch_too_short import EpochTooShortCheck
from sftdiag.checks.epochs_for_data_size import EpochsForDataSizeCheck
from sftdiag.checks.eval_distribution_shift import EvalDistributionShiftCheck
from sftdiag.checks.generation_end import GenerationEndCheck
from sftdiag.checks.generation_markers import GenerationMarkersCheck
from sftdiag.checks.gradients_cut_off import GradientsCutOffCheck
from sftdiag.checks.label_misalignment import LabelMisalignmentCheck
from sftdiag.checks.learning_rate_range import LearningRateRangeCheck
from sftdiag.checks.length_coverage import LengthCoverageCheck
from sftdiag.checks.lora_alpha import LoraAlphaCheck
from sftdiag.checks.lora_dropout import LoraDropoutCheck
from sftdiag.checks.lora_rank import LoraRankCheck
from sftdiag.checks.lora_target_modules import LoraTargetModulesCheck
from sftdiag.checks.low_diversity_answers import LowDiversityAnswersCheck
from sftdiag.checks.no_supervised_token import NoSupervisedTokenCheck
from sftdiag.checks.optimizer_settings import OptimizerSettingsCheck
from sftdiag.checks.outside_the_optimizer import OutsideTheOptimizerCheck
from sftdiag.checks.packing_without_boundaries import PackingWithoutBoundariesCheck
from sftdiag.checks.padding_trained import PaddingTrainedCheck
from sftdiag.checks.precision import PrecisionCheck
from sftdiag.checks.prompt_not_prefix import PromptNotPrefixCheck
from sftdiag.checks.prompt_trained import PromptTrainedCheck
from sftdiag.checks.regularization import RegularizationCheck
from sftdiag.checks.rows_dropped import RowsDroppedCheck
from sftdiag.checks.rows_in_blocks import RowsInBlocksCheck
from sftdiag.checks.rows_without_label import RowsWithoutLabelCheck
from sftdiag.checks.schedule_ends_early import ScheduleEndsEarlyCheck
from sftdiag.checks.special_tokens_untrained import SpecialTokensUntrainedCheck
from sftdiag.checks.template_mismatch import TemplateMismatchCheck
from sftdiag.checks.tokens_beyond_embeddings import TokensBeyondEmbeddingsCheck
from sftdiag.checks.train_rows_in_eval import TrainRowsInEvalCheck
from sftdiag.checks.trainable_share import TrainableShareCheck
from sftdiag.checks.unread_input import UnreadInputCheck
from sftdiag.checks.warmup_share import WarmupShareCheck
from sftdiag.findings import RowsSeen
from sftdiag.observations import Observation, Outcome, Skip
from sftdiag.samples import Split

CHECKS: tuple[Check, ...] = (
    NoSupervisedTokenCheck(),
    RowsWithoutLabelCheck(),
    RowsDroppedCheck(),
    LabelMisalignmentCheck(),
    PromptTrainedCheck(),
    EndOfTurnUntrainedCheck(),
    DoubleBosCheck(),
    AnswersTruncatedCheck(),
    GenerationMarkersCheck(),
    TemplateMismatchCheck(),
    SpecialTokensUntrainedCheck(),
    PackingWithoutBoundariesCheck(),
    TrainRowsInEvalCheck(),
    EvalDistributionShiftCheck(),
    LengthCoverageCheck(),
    DuplicateRowsCheck(),
    LowDiversityAnswersCheck(),
    PaddingTrainedCheck(),
    AnswersOfOtherRowsCheck(),
    RowsInBlocksCheck(),
    EmptyAnswersCheck(),
    AnswersUntrainedCheck(),
    GenerationEndCheck(),
    ContentLeftOutCheck(),
    PromptNotPrefixCheck(),
    UnreadInputCheck(),
    TokensBeyondEmbeddingsCheck(),
    LearningRateRangeCheck(),
    EffectiveBatchSizeCheck(),
    EpochsForDataSizeCheck(),
    LoraRankCheck(),
    LoraAlphaCheck(),
    LoraTargetModulesCheck(),
    LoraDropoutCheck(),
    WarmupShareCheck(),
    PrecisionCheck(),
    TrainableShareCheck(),
    RegularizationCheck(),
    OptimizerSettingsCheck(),
    ScheduleEndsEarlyCheck(),
    EmbeddingsUntiedCheck(),
    OutsideTheOptimizerCheck(),
    GradientsCutOffCheck(),
    BestModelMetricCheck(),
    EpochTooShortCheck(),
)
"""In the order of their codes."""


def run_checks(inputs: Inputs, codes: str = "SFT") -> Outcome:
    """Return what every check says; a check that fails is skipped with the error's name.

    Args:
        inputs: what they look at.
        codes: the beginning of the codes to run: ``"SFT4"`` are those of labels and template.
    """
    observations: list[Observation] = []
    ran: list[str] = []
    skipped: dict[str, Skip] = {}
    for check in (check for check in CHECKS if check.code.startswith(codes)):
        try:
            found = check.look(inputs)
        except Exception as error:
            found = Skip("failed", {"error": type(error).__name__})
        if isinstance(found, Skip):
            skipped[check.name] = found
        else:
            ran.append(check.name)
            observations += (o.replace(step=inputs.step) for o in found)
    rows = tuple(
        RowsSeen(split.name, len(split.samples), split.total, undetected(split), _trained(split))
        for split in inputs.splits
    )
    return Outcome(tuple(observations), tuple(ran), skipped, rows, easy_answers(inputs.train))


def _trained(split: Split) -> float | None:
    """Return the share of the tokens that reach the loss; None of rows without a token."""
    tokens = sum(len(sample.input_ids) for sample in split.samples)
    return sum(sample.supervised_tokens for sample in split.samples) / tokens if tokens else None


__all__ = ["CHECKS", "Check", "Inputs", "run_checks"]
