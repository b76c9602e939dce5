"""SFT101, guide row 1 and curve 4: the training loss does not fall.

The same flat curve has unlike causes; learning rate, gradient norm, entropy and token accuracy
tell them apart as far as a log can.
"""

from __future__ import annotations

from math import log

from sftdiag.context import SGD
from sftdiag.detectors._clipped_steps import ARRIVING_GRAD_NORM
from sftdiag.detectors._flat_signs import HUGE_GRAD_NORM, LOSS_OVER_ENTROPY, WEAK_GRAD_NORM
from sftdiag.detectors._levels import is_toy
from sftdiag.detectors.loss_above_chance import ABOVE_CHANCE, NO_ACCURACY
from sftdiag.detectors.train_loss_flat import CLIPPED, DAMPED, RATE, TINY_OF_SGD, WARMED
from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED, scale_of_the_losses
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.from_checks import check, new_tokens_untrained, observed, untold
from sftdiag.guide.learning_rate import BEYOND_EVERY_RANGE
from sftdiag.guide.movement import (
    fell_by_all_weights,
    movement,
    raise_learning_rate,
    slope_follows_rate,
)
from sftdiag.guide.smoothing import SMOOTHING
from sftdiag.guide.still_rate import OF_THE_RATE
from sftdiag.guide.warmup_to_the_end import warm_up_less
from sftdiag.ranges import (
    ADAM_EPSILON,
    GRADIENT_CLIP,
    LOWEST_LEARNING_RATE,
    SGD_LEARNING_RATE,
    learning_rate_ranges,
    speak_of,
)
from sftdiag.vocabularies import LARGEST_VOCABULARY

BLIND_GUESS = 0.03
"""How close to ln V a loss must be to be that of a blind guess: 10.824 against 10.825 and 6.04
against 5.95 in logs of untrained models."""

PREDICTED = 0.1
"""Token accuracy from which too many tokens are predicted right for labels of another text."""

TINY_FULL_SHARE = 0.05
"""A full fine-tune that trains less than this has all but a head or the norms frozen."""

TINY_ADAPTER_SHARE = 1e-5
"""An adapter of rank 1 on one projection of each layer has more than this share of the weights."""


def rate_against_ranges(case: Case) -> Evidence | None:
    """The peak learning rate against the ranges of the method."""
    rate = case.number("peak_learning_rate")
    if rate is None:
        return Evidence(Weight.MISSING, "rate_unknown")
    grad_norm = case.number("grad_norm")
    if case.detection.variant == TINY_OF_SGD:
        of_sgd = {"rate": case.number("rate_of_sgd"), "grad_norm": grad_norm}
        return Evidence(Weight.CONFIRMS, "rate_of_sgd", of_sgd)
    if case.context.optim == SGD:
        usual = {"rate": rate, "usual": SGD_LEARNING_RATE}
        return (
            Evidence(Weight.AGAINST, "usual_of_sgd", usual) if rate >= SGD_LEARNING_RATE else None
        )
    ranges = learning_rate_ranges(case.context.method)
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    values = {"rate": rate, "low": low, "high": high, "grad_norm": grad_norm}
    if rate < LOWEST_LEARNING_RATE:
        settled = grad_norm is not None and ARRIVING_GRAD_NORM <= grad_norm <= HUGE_GRAD_NORM
        key = "rate_below_all_normal_gradient" if settled else "rate_below_all"
        return Evidence(Weight.CONFIRMS if settled else Weight.SUPPORTS, key, values)
    if rate < low:
        return Evidence(Weight.SUPPORTS, "rate_below", values)
    if rate > high and not speak_of(case.context.total_parameters):
        parameters = {"parameters": case.context.total_parameters}
        return Evidence(Weight.AGAINST, "rate_above_small", {**values, **parameters})
    if rate > high:
        return Evidence(Weight.RULES_OUT, "rate_above", values)
    lora = min(r.low for r in learning_rate_ranges("lora"))
    if case.context.method is None and rate < lora:
        return Evidence(Weight.MISSING, "rate_by_method", {**values, "lora": lora})
    return Evidence(Weight.AGAINST, "rate_inside", values)


def labels_against_predictions(case: Case) -> Evidence | None:
    """Loss, entropy and token accuracy: is the model sure of something else than its labels?"""
    level, entropy = case.number("loss_level"), case.number("entropy")
    accuracy = case.number("mean_token_accuracy")
    if level is None or accuracy is None or entropy is None:
        return None
    values = {"loss": level, "entropy": entropy, "accuracy": accuracy}
    if accuracy < NO_ACCURACY and level > LOSS_OVER_ENTROPY * entropy:
        return Evidence(Weight.SUPPORTS, "labels_contradicted", values)
    if accuracy > PREDICTED:
        return Evidence(Weight.AGAINST, "labels_predicted", values)
    return None


def loss_above_chance(case: Case) -> Evidence | None:
    """The loss against ln V: a blind guess over the vocabulary."""
    level, chance = case.number("loss_level"), case.context.chance_loss
    if level is None or chance is None or level < ABOVE_CHANCE * chance:
        return None
    return Evidence(Weight.SUPPORTS, "above_chance", {"loss": level, "chance": chance})


def began_above_chance(case: Case) -> Evidence | None:
    """A first loss that no blind guess costs; a loss that is summed begins so high, too."""
    first, chance = case.signals.first_loss, case.context.chance_loss or log(LARGEST_VOCABULARY)
    scale = scale_of_the_losses(case)
    summed = scale is not None and scale.weight in (Weight.SUPPORTS, Weight.MISSING)
    if first is None or first < ABOVE_CHANCE * chance or summed:
        return None
    return Evidence(Weight.FITS, "began_above_chance", {"loss": first, "chance": chance})


def blind_guess(case: Case) -> Evidence | None:
    """First loss and entropy against ln V: does the model predict anything at all?"""
    first, chance = case.signals.first_loss, case.context.chance_loss
    entropy = case.number("entropy")
    if chance is None:
        return Evidence(Weight.MISSING, "vocabulary_unknown")
    if first is None:
        return None
    values = {"loss": first, "chance": chance, "entropy": entropy}
    if entropy is not None and entropy < (1 - BLIND_GUESS) * chance:
        return Evidence(Weight.RULES_OUT, "predicts", values)
    if is_toy(chance):
        return Evidence(Weight.AGAINST, "toy", {"vocabulary": case.context.vocab_size})
    if abs(first - chance) < BLIND_GUESS * chance:
        return Evidence(Weight.SUPPORTS, "blind" if entropy is None else "blind_entropy", values)
    return Evidence(Weight.AGAINST, "not_blind", values)


def gradient_size(case: Case) -> Evidence | None:
    """The gradient norm: none, or a normal one."""
    grad_norm = case.number("grad_norm")
    if grad_norm is None:
        return Evidence(Weight.MISSING, "gradient_unknown")
    values = {"grad_norm": grad_norm}
    if grad_norm > 0.0 and _few_trainable(case):
        return Evidence(Weight.AGAINST, "gradient_of_few", values)
    if grad_norm == 0.0:
        weight = Weight.FITS if adapter_frozen(case) is not None else Weight.SUPPORTS
        return Evidence(weight, "gradient_zero", values)
    if grad_norm >= ARRIVING_GRAD_NORM:
        return Evidence(Weight.RULES_OUT, "gradient_normal", values)
    return Evidence(Weight.SUPPORTS, "gradient_tiny", values)


def _unmoved_adapter(case: Case) -> int | None:
    """Return a step after which B was still 0 although the rate was not: Adam moves it at once."""
    return case.context.lora_b_zero_step if case.number("peak_learning_rate") != 0.0 else None


def adapter_without_gradient(case: Case) -> Evidence | None:
    """A LoRA B that is still 0 while no gradient norm speaks against it has never had one."""
    step = _unmoved_adapter(case)
    if step is None or case.number("grad_norm"):
        return None
    return Evidence(Weight.SUPPORTS, "adapter_without_gradient", {"step": step})


def adapter_not_trained(case: Case) -> Evidence | None:
    """The same while a gradient arrives: it goes to other weights, or the optimizer lacks B."""
    step, grad_norm = _unmoved_adapter(case), case.number("grad_norm")
    if step is None and case.context.lora_b_sharded:
        return Evidence(Weight.MISSING, "adapter_sharded")
    if step is None or not grad_norm:
        return None
    values = {"step": step, "grad_norm": grad_norm}
    return Evidence(Weight.CONFIRMS, "adapter_not_trained", values)


def let_gradient_arrive(case: Case) -> FixText:
    """An adapter that no gradient reached is cut off; anything else may be the number format."""
    return FixText("connect_adapter" if adapter_without_gradient(case) else "use_bf16")


def train_the_weights(case: Case) -> FixText:
    """An adapter with a gradient that stays at 0 is missing from the optimizer."""
    seen = adapter_not_trained(case)
    known = seen is not None and seen.weight is Weight.CONFIRMS
    return FixText("put_in_optimizer" if known else "unfreeze")


def adapter_frozen(case: Case) -> Evidence | None:
    """An adapter that takes part and is trained has a gradient from the first step on, if small.

    One whose B was seen to stay at 0 is cut off from the loss: that has its own evidence.
    """
    adapter = case.context.method in ("lora", "qlora") and _unmoved_adapter(case) is None
    if case.number("grad_norm") != 0.0 or not adapter:
        return None
    return Evidence(Weight.SUPPORTS, "adapter_frozen")


def trainable_parameters(case: Case) -> Evidence | None:
    """How much of the model learns, or how small the gradient is for a loss of this size."""
    share, grad_norm = case.context.trainable_share, case.number("grad_norm")
    if share is not None:
        known = case.context
        values = {"count": known.trainable_parameters, "total": known.total_parameters}
        many = Weight.AGAINST if new_tokens_untrained(case) is None else Weight.FITS
        weight = Weight.SUPPORTS if _few_trainable(case) else many
        return Evidence(weight, "trainable_share", values)
    rate = case.number("peak_learning_rate") or 0.0
    if grad_norm is not None and 0.0 < grad_norm < WEAK_GRAD_NORM and rate >= LOWEST_LEARNING_RATE:
        return Evidence(Weight.SUPPORTS, "gradient_small", {"grad_norm": grad_norm, "rate": rate})
    return Evidence(Weight.MISSING, "trainable_unknown")


def _few_trainable(case: Case) -> bool:
    share = case.context.trainable_share
    least = TINY_FULL_SHARE if case.context.method == "full" else TINY_ADAPTER_SHARE
    return share is not None and share < least


def numeric_format(case: Case) -> Evidence | None:
    """The weights' format, or a gradient of a size that only a broken one has."""
    grad_norm = case.number("grad_norm")
    if grad_norm is not None and grad_norm > HUGE_GRAD_NORM:
        return Evidence(Weight.SUPPORTS, "gradient_huge", {"grad_norm": grad_norm})
    precision = case.context.computes_in
    if case.context.quantization is not None:
        values = {"quantization": case.context.quantization}
        return Evidence(Weight.MISSING, "quantized", values)
    if precision is None:
        return Evidence(Weight.MISSING, untold(case, "format_unknown", "format_unknown_in_a_loop"))
    weight = Weight.MISSING if "16" in precision and "b" not in precision else Weight.AGAINST
    return Evidence(weight, "format_known", {"precision": precision})


def clipped_steps(case: Case) -> Evidence | None:
    """What the clip leaves of the steps: known to the last digit, given norm and rate."""
    variant = case.detection.variant
    if variant not in (CLIPPED, DAMPED):
        return None
    names = ("max_grad_norm", "grad_norm", "adam_epsilon", "most_fall")
    values = {name: case.number(name) for name in names}
    if variant == DAMPED:
        return Evidence(Weight.CONFIRMS, "damped_steps", values)
    return Evidence(Weight.CONFIRMS, "clipped_steps", values)


def still_warming_up(case: Case) -> Evidence:
    """The log shows it: the rate of the last steps was on its way to the one asked for."""
    return Evidence(
        Weight.CONFIRMS, "still_warming_up", {"rate": case.number("peak_learning_rate")}
    )


def clip_less(case: Case) -> FixText:
    """Of Adam the constant that a small gradient is held against is lowered where it is large."""
    old, new = case.context.max_grad_norm, GRADIENT_CLIP[0].high
    epsilon, usual = case.context.adam_epsilon, ADAM_EPSILON[0].high
    if case.context.optim == SGD and old is not None:
        return FixText("clip_sgd_less", {"new": new}, {"SFTConfig.max_grad_norm": (old, new)})
    if epsilon is not None and epsilon > max(known.high for known in ADAM_EPSILON):
        changes = {"SFTConfig.adam_epsilon": (epsilon, usual)}
        return FixText("usual_epsilon", {"new": usual}, changes)
    return FixText("clip_less")


OF_THE_LOSS = (
    CauseRule(
        "learning-rate-too-low",
        (rate_against_ranges, movement, slope_follows_rate),
        (raise_learning_rate,),
    ),
    # What it broke in the first steps rests at any level, and looks like wrong labels.
    BEYOND_EVERY_RANGE,
    CauseRule(
        "label-mask",
        (
            labels_against_predictions,
            loss_above_chance,
            began_above_chance,
            check("no-supervised-token", Weight.CONFIRMS),
            check("prompt-trained", clean=None),
        ),
        (fix("check_mask"),),
    ),
    CauseRule(
        "chat-template",
        (
            labels_against_predictions,
            check("generation-markers", clean=None),
            check("template-mismatch"),
        ),
        (fix("check_template"),),
    ),
    CauseRule(
        "label-misalignment",
        (
            labels_against_predictions,
            loss_above_chance,
            began_above_chance,
            check("label-misalignment", Weight.CONFIRMS, Weight.RULES_OUT),
        ),
        (fix("check_alignment"),),
    ),
    CauseRule(
        "vanishing-gradient", (gradient_size, adapter_without_gradient), (let_gradient_arrive,)
    ),
    CauseRule(
        "frozen-parameters",
        (
            trainable_parameters,
            adapter_frozen,
            adapter_not_trained,
            fell_by_all_weights,
            check("trainable-share", Weight.CONFIRMS, clean=None),
            new_tokens_untrained,
        ),
        (train_the_weights,),
    ),
    CauseRule(
        "optimizer-settings",
        (
            observed("optimizer-settings", "starved"),
            observed("optimizer-settings", "sgd"),
            observed("optimizer-settings", "epsilon"),
            clipped_steps,
        ),
        (clip_less,),
        needs_evidence=True,
    ),
    SMOOTHING,
    CauseRule("quantization-or-dtype", (numeric_format, began_above_chance), (fix("use_bf16"),)),
    CauseRule("weights-not-loaded", (blind_guess,), (fix("load_weights"),)),
    # A sum at its floor stands as high as a mean that never moved.
    GRADIENT_NOT_DIVIDED,
)
"""Causes of a loss that does not move although the rate is up."""

OF_THE_WARMUP = CauseRule(
    "schedule", (still_warming_up,), (warm_up_less, fix("count_steps")), (WARMED,)
)
"""The rate that was reached says nothing of the one asked for."""


def _but(cause: str) -> tuple[str, ...]:
    """Return the variants that a cause of the loss cannot be the cause of."""
    return (*RATE, WARMED) if cause == "learning-rate-too-low" else tuple(RATE)


SYMPTOM = Symptom(
    "SFT101",
    "train-loss-flat",
    Severity.ERROR,
    (*(cause.replace(but=_but(cause.id)) for cause in OF_THE_LOSS), OF_THE_WARMUP, *OF_THE_RATE),
)
