"""SFT204: the train and the evaluation loss are not on one scale."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check

NEAR_ACCUMULATION = 0.10
"""Share by which the ratio may differ from the accumulation steps: what SFT204 calls constant."""


def ratio_is_the_accumulation(case: Case) -> Evidence | None:
    """The ratio against gradient_accumulation_steps; a single step leaves nothing undivided."""
    steps, times, ratio = case.number("accumulation"), case.number("times"), case.number("ratio")
    if times is None or ratio is None:
        return None
    if steps is None:
        return Evidence(Weight.MISSING, "accumulation_unknown", {"times": times})
    if steps == 1:
        return Evidence(Weight.RULES_OUT, "no_accumulation")
    values = {"times": times, "accumulation": steps}
    if abs(times / steps - 1.0) > NEAR_ACCUMULATION:
        return Evidence(Weight.AGAINST, "accumulation_differs", values)
    # A train loss that is too small by the steps was divided twice: seen, but not known as a fault.
    weight = Weight.CONFIRMS if ratio > 1.0 else Weight.SUPPORTS
    return Evidence(weight, "accumulation_matches", values)


def evaluation_is_higher(case: Case) -> Evidence | None:
    """Rows from elsewhere cost more from the first evaluation on; a lower loss is no such sign."""
    ratio = case.number("ratio")
    if ratio is None:
        return None
    if ratio < 1.0:
        return Evidence(Weight.SUPPORTS, "higher_from_the_first", {"times": 1.0 / ratio})
    return Evidence(Weight.AGAINST, "train_is_higher", {"times": ratio})


SYMPTOM = Symptom(
    "SFT204",
    "train-eval-scale-mismatch",
    Severity.INFO,
    (
        CauseRule(
            "not-divided-by-accumulation",
            (ratio_is_the_accumulation,),
            (fix("update_transformers"), fix("divide"), fix("check_clipping")),
        ),
        CauseRule(
            "eval-distribution",
            (
                evaluation_is_higher,
                check("eval-distribution-shift"),
                check("template-mismatch", clean=None, on_evaluation=True),
            ),
            (fix("same_split"), fix("same_loss")),
        ),
    ),
)
