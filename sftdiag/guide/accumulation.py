"""Evidence on a loss that is not divided by the accumulation steps, shared by the symptoms."""

from __future__ import annotations

from sftdiag.detectors.train_eval_scale_mismatch import CONSTANT, LEAST_RATIO, OVER, ratio_of
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight, fix
from sftdiag.signals.noise import median


def constant_ratio(case: Case) -> Evidence | None:
    """The constant ratio of the two losses that SFT204 has seen against the accumulation steps."""
    steps, ratio = case.context.gradient_accumulation_steps, case.number("ratio")
    if ratio is None:
        return None
    if steps == 1:
        return Evidence(Weight.RULES_OUT, "no_accumulation")
    times = max(ratio, 1.0 / ratio)
    if steps is None:
        return Evidence(Weight.MISSING, "accumulation_unknown", {"times": times})
    values = {"times": times, "accumulation": steps}
    if not _near(times, steps):
        return Evidence(Weight.AGAINST, "accumulation_differs", values)
    # A train loss that is too small by the steps was divided twice: seen, but not known as a fault.
    weight = Weight.CONFIRMS if ratio > 1.0 else Weight.SUPPORTS
    return Evidence(weight, "accumulation_matches", values)


def scale_of_the_losses(case: Case) -> Evidence | None:
    """The same under other symptoms, whose losses leave their course: what most evaluations say."""
    steps = case.context.gradient_accumulation_steps
    if steps == 1:
        return Evidence(Weight.RULES_OUT, "no_accumulation")
    points = case.signals.main_evaluations
    ratios = [ratio for point in points if (ratio := ratio_of(point)) is not None]
    if len(ratios) < OVER:
        return Evidence(Weight.MISSING, "scale_unseen")
    times = median(ratios)
    if times < LEAST_RATIO:
        return Evidence(Weight.AGAINST, "same_scale", {"times": times})
    if steps is None:
        return Evidence(Weight.MISSING, "accumulation_unknown", {"times": times})
    values = {"times": times, "accumulation": steps}
    if 2 * sum(_near(ratio, steps) for ratio in ratios) <= len(ratios):
        return Evidence(Weight.AGAINST, "accumulation_differs", values)
    return Evidence(Weight.SUPPORTS, "accumulation_matches", values)


def _near(times: float, steps: int) -> bool:
    return abs(times / steps - 1.0) <= CONSTANT


def settle_the_scale(case: Case) -> FixText:
    """Where the scale is not known, how to know it."""
    seen = scale_of_the_losses(case)
    known = seen is not None and seen.weight is Weight.SUPPORTS
    if known:
        return FixText("update_transformers")
    return FixText("compare_scales" if case.signals.evaluations_seen else "evaluate_both")


CAUSE = "not-divided-by-accumulation"

NOT_DIVIDED = CauseRule(
    CAUSE,
    (constant_ratio,),
    (fix("update_transformers"), fix("divide"), fix("check_clipping")),
)
"""Where the scale itself is the symptom."""

GRADIENT_NOT_DIVIDED = CauseRule(CAUSE, (scale_of_the_losses,), (settle_the_scale,))
"""Where the loss leaves its course: the gradient is too large by the same factor."""
