"""SFT204: the train and the evaluation loss are not on one scale."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.accumulation import NOT_DIVIDED
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check


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
        NOT_DIVIDED,
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
