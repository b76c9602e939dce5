"""The one table of symptoms."""

from __future__ import annotations

from sftdiag.guide import (
    early_loss_jump,
    eval_loss_rising,
    eval_not_finite,
    forgetting,
    implausible_loss,
    learning_rate_restarted,
    loss_above_chance,
    loss_divergence,
    loss_oscillation,
    loss_spike,
    memorization,
    non_finite,
    repetitive_output,
    steps_skipped,
    train_eval_scale_mismatch,
    train_loss_flat,
    train_loss_rebound,
    unnatural_replies,
    zero_loss,
)
from sftdiag.guide.base import Symptom

SYMPTOMS: tuple[Symptom, ...] = (
    train_loss_flat.SYMPTOM,
    train_loss_rebound.SYMPTOM,
    loss_oscillation.SYMPTOM,
    loss_divergence.SYMPTOM,
    loss_spike.SYMPTOM,
    non_finite.SYMPTOM,
    zero_loss.SYMPTOM,
    loss_above_chance.SYMPTOM,
    early_loss_jump.SYMPTOM,
    learning_rate_restarted.SYMPTOM,
    implausible_loss.SYMPTOM,
    steps_skipped.SYMPTOM,
    eval_loss_rising.SYMPTOM,
    memorization.SYMPTOM,
    eval_not_finite.SYMPTOM,
    train_eval_scale_mismatch.SYMPTOM,
    repetitive_output.SYMPTOM,
    forgetting.SYMPTOM,
    unnatural_replies.SYMPTOM,
)
"""In the order of their codes."""
