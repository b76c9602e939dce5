"""SFT203: the evaluation loss is NaN or infinite. Its cause, the mask, is in the guide's table."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check


def broken_before(case: Case) -> Evidence | None:
    """Train rows up to the evaluation that were lost, or had no finite gradient: that is enough."""
    since = case.number("broken_since")
    return None if since is None else Evidence(Weight.AGAINST, "broken", {"since": int(since)})


def from_the_first_evaluation(case: Case) -> Evidence | None:
    """Rows without labels are there from the start; an overflow comes with training."""
    if broken_before(case) is not None:
        return None
    before = case.number("finite_before")
    if not before:
        return Evidence(Weight.SUPPORTS, "never_finite")
    return Evidence(Weight.AGAINST, "finite_before", {"count": int(before)})


def later_only(case: Case) -> Evidence | None:
    """An overflow needs weights that training has moved."""
    before, broken = case.number("finite_before"), broken_before(case)
    if broken is not None:
        return Evidence(Weight.FITS, broken.key, broken.values)
    if not before:
        return Evidence(Weight.AGAINST, "never_finite_is_early")
    return Evidence(Weight.SUPPORTS, "finite_before", {"count": int(before)})


SYMPTOM = Symptom(
    "SFT203",
    "eval-not-finite",
    Severity.WARNING,
    (
        CauseRule(
            "label-mask",
            (
                broken_before,
                from_the_first_evaluation,
                check("no-supervised-token", Weight.CONFIRMS, on_evaluation=True),
                check("rows-without-label", clean=None, on_evaluation=True),
            ),
            (fix("check_rows"), fix("length")),
        ),
        CauseRule("quantization-or-dtype", (later_only,), (fix("use_bf16"),)),
    ),
)
