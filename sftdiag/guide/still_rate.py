"""Causes of a learning rate that is exactly 0: SFT101's variants of the rate."""

from __future__ import annotations

from sftdiag.guide.base import Case, CauseRule, Evidence, Weight, fix


def set_to_zero(case: Case) -> Evidence | None:
    """The rate that was asked for: 0 is a choice, anything else was never reached."""
    asked = case.context.learning_rate
    if asked is None:
        return Evidence(Weight.MISSING, "rate_asked_unknown")
    if asked == 0.0:
        return Evidence(Weight.CONFIRMS, "rate_asked_zero")
    # Where steps are made the schedule alone gives the rate.
    weight = Weight.FITS if case.number("grad_norm") is None else Weight.SUPPORTS
    return Evidence(weight, "rate_never_reached", {"rate": asked})


def never_left_zero(case: Case) -> Evidence | None:
    """A warm-up stands at its first value, 0, for as long as every step is skipped."""
    precision = case.context.precision
    if case.context.learning_rate == 0.0:
        return Evidence(Weight.RULES_OUT, "rate_asked_zero")
    if precision in ("bf16", "fp32") and not case.context.deepspeed:
        return Evidence(Weight.AGAINST, "no_scaler", {"precision": precision})
    grad_norm = case.number("grad_norm")
    if grad_norm is not None:
        return Evidence(Weight.AGAINST, "steps_not_skipped", {"grad_norm": grad_norm})
    return Evidence(Weight.SUPPORTS, "never_left_zero")


def reached_zero(case: Case) -> Evidence:
    """The log shows it: a schedule that is over before the run is."""
    values = {name: case.number(name) for name in ("rate_zero_since", "max_steps")}
    return Evidence(Weight.CONFIRMS, "reached_zero", values)


OF_THE_RATE = (
    CauseRule("schedule", (reached_zero,), (fix("plan_schedule"),), ("rate_ended",)),
    CauseRule(
        "quantization-or-dtype",
        (never_left_zero,),
        (fix("use_bf16"), fix("look_at_grad_norm")),
        ("rate_zero",),
    ),
    CauseRule("schedule", (set_to_zero,), (fix("set_rate"),), ("rate_zero",)),
)
"""Causes of a learning rate of exactly 0."""
