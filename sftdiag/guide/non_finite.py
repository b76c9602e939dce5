"""SFT106: the loss is NaN or infinite. Not in the guide's table; its causes are."""

from __future__ import annotations

from math import isinf

from sftdiag.detectors.non_finite import OFTEN, ONE_RANK, SKIPPED
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.checkpoints import GO_BACK, WEIGHTS_ARE_OF, back_to
from sftdiag.guide.from_checks import check
from sftdiag.guide.learning_rate import (
    beyond_before,
    keep_clipping,
    lower_learning_rate,
    rate_before,
)
from sftdiag.guide.lost_numbers import (
    HARDWARE,
    RISE_BEFORE,
    blocks_before,
    climb_before,
    climbed,
    not_from_training,
    number_format,
)
from sftdiag.signals.zeros import CONTRADICTED, STILL

PASSING = (OFTEN, ONE_RANK)
"""The variants in which the weights are not NaN; where steps are skipped they need not be."""


def rows_have_labels(case: Case) -> Evidence | None:
    """Rows without labels give no finite loss from the first record on, or now and then."""
    finite = case.number("last_finite_step")
    if case.detection.variant == CONTRADICTED:
        return Evidence(Weight.AGAINST, "has_gradient", {"grad_norm": case.number("grad_norm")})
    if case.detection.variant in PASSING:
        return Evidence(Weight.FITS, "passes")
    if finite is not None:
        return Evidence(Weight.AGAINST, "finite_before", {"step": int(finite)})
    loss = case.detection.evidence.get("loss")
    if isinstance(loss, float) and isinf(loss):
        return Evidence(Weight.AGAINST, "infinite")
    # A rate that breaks any model needs one step, and leaves nothing finite behind it either.
    by_rate = case.detection.onset_step > 1 and beyond_before(case) is not None
    weight = Weight.FITS if by_rate else Weight.SUPPORTS
    return Evidence(weight, "never_finite")


def scaler_skips(case: Case) -> Evidence | None:
    """A schedule that is held is one whose steps are skipped, as fp16's loss scaler does."""
    steps = case.number("still_steps")
    if case.detection.variant != STILL or case.context.precision == "bf16":
        return None
    return Evidence(Weight.SUPPORTS, "scaler_skips", {"steps": int(steps or 0)})


def go_back(case: Case) -> FixText | None:
    """Name the last step whose weights were sound: before the climb, if there was one."""
    if case.detection.variant in (*PASSING, STILL):
        return None
    step = case.number("last_good_step")
    if case.detection.variant == SKIPPED:
        return None if step is None else back_to(case, step, WEIGHTS_ARE_OF)
    blocks = blocks_before(case)
    if climbed(blocks):
        low = min(block.loss for block in blocks)
        step = max(block.last_step for block in blocks if block.loss <= RISE_BEFORE * low)
    if step is not None:
        return back_to(case, step, GO_BACK)
    return FixText("start_again" if case.detection.evidence else "go_back_generally")


SYMPTOM = Symptom(
    "SFT106",
    "non-finite",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (climb_before, rate_before, not_from_training),
            (lower_learning_rate, go_back, keep_clipping),
        ),
        CauseRule(
            "quantization-or-dtype",
            (number_format, scaler_skips, check("precision", clean=None)),
            (fix("use_bf16"), go_back),
        ),
        HARDWARE,
        CauseRule(
            "label-mask",
            (rows_have_labels, check("rows-without-label", clean=None)),
            (fix("check_rows"),),
        ),
    ),
)
