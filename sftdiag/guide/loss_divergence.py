"""SFT104, guide curve 3: the loss blows up and does not come back."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix, missing
from sftdiag.guide.checkpoints import GO_BACK, back_to
from sftdiag.guide.learning_rate import (
    evaluation_rises_too,
    keep_clipping,
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
    rates_up_to,
)
from sftdiag.guide.resume import (
    ADAPTER_STATE,
    OPTIMIZER_STATE,
    ROWS_AT_RESUME,
    steps_did_not_do_it,
)
from sftdiag.ranges import LOWEST_LEARNING_RATE
from sftdiag.signals.noise import median

BEFORE = 3
"""Blocks right before a blow-up whose gradient norm is held against that of all before."""

GROWN = 10.0
"""Times the usual gradient norm from which it has grown: up to 8 at any place of 147 of the 151
labelled healthy runs, whose losses blow up nowhere."""

TOO_SMALL_TO_HARM = LOWEST_LEARNING_RATE / 10
"""Adam moves no weight by much more than the rate a step: at so small a one even bfloat16 weights
of usual size, 0.01, stay as they are, and a loss to first order within 0.1."""


def rate_too_small(case: Case) -> Evidence | None:
    """A rate at which no step can have done it: what the loss leapt with was no learning."""
    rates = rates_up_to(case, case.detection.step)
    if not rates or not case.context.adaptive or max(rates) >= TOO_SMALL_TO_HARM:
        return None
    return Evidence(Weight.RULES_OUT, "rate_too_small", {"rate": max(rates)})


def no_step_did_it(case: Case) -> Evidence | None:
    """The same for what remains: weights, kernels and memory that changed by themselves."""
    seen = rate_too_small(case)
    return None if seen is None else Evidence(Weight.SUPPORTS, seen.key, seen.values)


def gradient_grew_before(case: Case) -> Evidence | None:
    """A gradient norm that grew long before the loss did: the weights, not the rows of a step."""
    onset = case.detection.onset_step
    norms = [
        block.grad_norm
        for block in case.signals.blocks
        if block.last_step < onset and block.grad_norm is not None
    ]
    if len(norms) <= 2 * BEFORE:
        return None
    usual, late = median(norms[:-BEFORE]), median(norms[-BEFORE:])
    if late <= GROWN * usual:
        return None
    return Evidence(Weight.SUPPORTS, "gradient_grew", {"usual": usual, "late": late})


def rate_near_its_peak_then(case: Case) -> Evidence | None:
    """Where the rate was in its schedule; once the gradient has grown, a lower one harms, too."""
    return None if gradient_grew_before(case) else rate_near_its_peak(case)


def go_back(case: Case) -> FixText:
    """To the newest checkpoint from before the blow-up."""
    return back_to(case, case.detection.onset_step, GO_BACK)


def base_is_quantized(case: Case) -> Evidence | None:
    """A frozen base in few bits is what a damaged state or a faulty kernel most often hits."""
    if case.context.quantization is None or rate_too_small(case) is None:
        return None
    return Evidence(Weight.SUPPORTS, "quantized", {"bits": case.context.quantization})


SYMPTOM = Symptom(
    "SFT104",
    "loss-divergence",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (
                rate_too_small,
                rate_against_ranges,
                rate_near_its_peak_then,
                gradient_grew_before,
                evaluation_rises_too,
                steps_did_not_do_it,
            ),
            (lower_learning_rate, keep_clipping, go_back),
        ),
        CauseRule("poor-data", (missing("rows_unseen"),), (fix("look_at_rows"),)),
        CauseRule("hardware-or-kernel", (no_step_did_it,), (fix("check_kernels"),)),
        CauseRule("quantization-or-dtype", (base_is_quantized,), (fix("other_number_format"),)),
        GRADIENT_NOT_DIVIDED,
        ADAPTER_STATE,
        OPTIMIZER_STATE,
        ROWS_AT_RESUME,
    ),
)
