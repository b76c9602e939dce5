"""SFT112: gradients that are lost or 0 move no weight. Not in the guide's table; its causes are."""

from __future__ import annotations

from sftdiag.detectors._no_gradient import ALL, SOME
from sftdiag.detectors.steps_skipped import NOT_FINITE
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.checkpoints import WEIGHTS_ARE_OF, back_to
from sftdiag.guide.from_checks import check
from sftdiag.guide.learning_rate import keep_clipping, lower_learning_rate, rate_against_ranges
from sftdiag.guide.lost_numbers import HARDWARE, climb_before, not_from_training, number_format


def schedule_is_held(case: Case) -> Evidence | None:
    """fp16's loss scaler holds the schedule at a step that it skips; so does DeepSpeed."""
    steps = case.number("still_steps")
    if steps:
        return Evidence(Weight.FITS, "schedule_held", {"steps": int(steps)})
    if case.detection.evidence.get("rate_moves"):
        return Evidence(Weight.AGAINST, "schedule_moves")
    return None


def gradient_of_none(case: Case) -> Evidence | None:
    """A row without a label has a gradient of exactly 0."""
    values = {"records": case.number("records"), "rows": case.number("rows")}
    return Evidence(Weight.SUPPORTS, "zero_in_some", values) if values["rows"] else None


def nothing_trained(case: Case) -> Evidence | None:
    """Where every gradient is 0, what is trained has no part in the loss, or is frozen."""
    trainable = case.context.trainable_parameters
    values = {"records": case.number("records")}
    if case.signals.objective == "reinforcement":
        return Evidence(Weight.FITS, "zero_in_all", values)
    if trainable is not None:
        return Evidence(Weight.SUPPORTS, "zero_though_trainable", {"parameters": trainable})
    return Evidence(Weight.SUPPORTS, "zero_in_all", values)


def rewards_alike(case: Case) -> Evidence | None:
    """A group whose completions all have one reward has no advantage, and so no gradient."""
    if case.signals.objective != "reinforcement":
        return Evidence(Weight.RULES_OUT, "no_rewards")
    return Evidence(Weight.SUPPORTS, "rewards_unseen")


def start_from(case: Case) -> FixText | None:
    """The weights are those of the step before the first one skipped."""
    step = case.detection.onset_step
    return back_to(case, step, WEIGHTS_ARE_OF) if case.detection.evidence else None


SYMPTOM = Symptom(
    "SFT112",
    "steps-skipped",
    Severity.ERROR,
    (
        CauseRule(
            "quantization-or-dtype",
            (number_format, schedule_is_held, check("precision", clean=None)),
            (fix("use_bf16"), start_from),
            NOT_FINITE,
        ),
        HARDWARE.replace(only=NOT_FINITE),
        CauseRule(
            "learning-rate-too-high",
            (climb_before, rate_against_ranges, not_from_training),
            (lower_learning_rate, keep_clipping),
            NOT_FINITE,
        ),
        CauseRule(
            "label-mask",
            (gradient_of_none, check("rows-without-label", clean=Weight.AGAINST)),
            (fix("check_rows"),),
            (SOME,),
        ),
        CauseRule("frozen-parameters", (nothing_trained,), (fix("count_trainable"),), (ALL,)),
        CauseRule("poor-data", (rewards_alike,), (fix("look_at_rewards"),), (ALL,)),
    ),
)
