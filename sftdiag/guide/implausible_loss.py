"""SFT111: a loss at a level that cannot be. Not in the guide's table; curve 4's causes are."""

from __future__ import annotations

from sftdiag.detectors.train_eval_scale_mismatch import CONSTANT
from sftdiag.findings import Severity
from sftdiag.guide import empty_answers
from sftdiag.guide.accumulation import CAUSE
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check
from sftdiag.guide.learning_rate import (
    BEYOND_EVERY_RANGE,
    beyond_every_range,
    lower_learning_rate,
    rate_against_ranges,
)
from sftdiag.guide.lost_numbers import base_quantized

HIGH = ("far", "above")
SUM = (*HIGH, "summed")
LABELS = ("above", "resting")
LOW = ("low_eval", "low_train")
BLIND = ("blind", "random_weights")


def sum_of_steps(case: Case) -> Evidence | None:
    """The height over a usual loss against the counts that a loss may not have been divided by."""
    context, times = case.context, case.number("times")
    steps, processes = context.gradient_accumulation_steps, context.world_size
    if times is None:
        if steps == 1:
            return Evidence(Weight.RULES_OUT, "no_accumulation")
        if steps is None:
            return Evidence(Weight.MISSING, "steps_unknown")
        divided = (case.number("loss") or 0.0) / steps
        return Evidence(Weight.AGAINST, "still_high", {"steps": steps, "loss": divided})
    beside = case.number("eval_loss")
    if steps is not None and times == steps:
        divided = (case.number("loss") or 0.0) / steps
        return Evidence(Weight.SUPPORTS, "usual_if_divided", {"steps": steps, "loss": divided})
    counts = {n for n in (steps, processes, (steps or 1) * (processes or 1)) if n and n > 1}
    fitting = [count for count in counts if abs(times / count - 1.0) <= CONSTANT]
    values = {"times": times, "eval_loss": beside}
    if fitting:
        return Evidence(Weight.CONFIRMS, "times_a_count", {**values, "count": fitting[0]})
    if steps == 1:
        return Evidence(Weight.AGAINST, "sound_evaluation_no_steps", values)
    return Evidence(Weight.SUPPORTS, "sound_evaluation", values)


def rate(case: Case) -> Evidence | None:
    """A rate beyond every range throws any model off in its first steps; others do not."""
    seen = beyond_every_range(case)
    if seen is None or not case.context.adaptive:
        return rate_against_ranges(case)
    return seen.replace(key="rate_beyond_any")


def blind(case: Case) -> Evidence:
    """A loss of ln V is that of a model that has no opinion."""
    values = {"loss": case.number("loss_first"), "chance": case.number("chance_loss")}
    return Evidence(Weight.SUPPORTS, "blind", values)


def never_moved(case: Case) -> Evidence | None:
    """At ln V and unmoved: a head that is not trained, or not tied to what is."""
    known = case.context
    if known.trainable_share is None:
        return Evidence(Weight.MISSING, "trainable_unknown")
    values = {"count": known.trainable_parameters, "total": known.total_parameters}
    return Evidence(Weight.FITS, "trainable_share", values)


def packed(case: Case) -> Evidence | None:
    """Samples of one sequence that see each other, or repeated padding, make the target trivial."""
    packing = case.context.packing
    if packing is None:
        return Evidence(Weight.MISSING, "packing_unknown")
    if not packing:
        return Evidence(Weight.RULES_OUT, "not_packed")
    return Evidence(Weight.SUPPORTS, "packed")


def another_objective(case: Case) -> Evidence | None:
    """A loss of the user's own may be below 0; a cross entropy may not."""
    loss_type = case.context.loss_type
    if loss_type is None:
        return Evidence(Weight.MISSING, "objective_unknown")
    return Evidence(Weight.AGAINST, "objective_known", {"loss_type": loss_type})


SYMPTOM = Symptom(
    "SFT111",
    "implausible-loss",
    Severity.ERROR,
    (
        CauseRule(
            CAUSE,
            (sum_of_steps,),
            (fix("update_transformers"), fix("divide"), fix("check_clipping")),
            only=SUM,
        ),
        CauseRule("learning-rate-too-high", (rate,), (lower_learning_rate,), HIGH),
        BEYOND_EVERY_RANGE.replace(only=(*BLIND, "resting")),
        *(cause.replace(only=LOW) for cause in empty_answers.CAUSES),
        CauseRule("weights-not-loaded", (blind,), (fix("load_weights"),), BLIND),
        CauseRule("frozen-parameters", (never_moved,), (fix("unfreeze"),), ("blind",)),
        CauseRule(
            "padding-in-labels",
            (check("padding-trained"),),
            (fix("mask_padding"),),
            (*LABELS, *LOW),
        ),
        CauseRule(
            "chat-template",
            (check("template-mismatch"), check("double-bos", clean=None)),
            (fix("check_template"),),
            LABELS,
        ),
        CauseRule(
            "label-misalignment",
            (check("label-misalignment", Weight.CONFIRMS, Weight.RULES_OUT),),
            (fix("check_alignment"),),
            LABELS,
        ),
        CauseRule(
            "quantization-or-dtype",
            (base_quantized,),
            (fix("other_base"),),
            (*HIGH, "resting"),
        ),
        CauseRule("hardware-or-kernel", (), (fix("plain_kernels"),), (*HIGH, "negative")),
        CauseRule("packing", (packed,), (fix("packing_off"),), LOW),
        CauseRule("eval-leak", (check("train-rows-in-eval"),), (fix("split_anew"),), ("low_eval",)),
        CauseRule(
            "low-diversity-data",
            (check("low-diversity-answers"), check("duplicate-rows", clean=None)),
            (fix("look_at_targets"),),
            LOW,
        ),
        CauseRule("other-objective", (another_objective,), (fix("log_plain"),), ("negative",)),
    ),
)
