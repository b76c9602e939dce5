"""SFT106: the loss or the gradient is NaN or infinite. Not in the guide's table; its causes are."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.from_checks import check
from sftdiag.guide.learning_rate import keep_clipping, lower_learning_rate, rate_against_ranges
from sftdiag.signals.blocks import Block

RISE_BEFORE = 1.25
"""Loss of the last block before the NaN over the lowest block: on the labelled runs that blew up it
was 1.3 to 5, on those with an injected NaN weight 1.0."""


def climb_before(case: Case) -> Evidence | None:
    """The train loss before the last finite record."""
    blocks = _blocks_before(case)
    if len(blocks) < 2:
        return None
    low, last = min(block.loss for block in blocks), max(block.loss for block in blocks[-2:])
    values = {"low": low, "last": last}
    key = "loss_climbed" if _climbed(blocks) else "loss_calm"
    return Evidence(Weight.SUPPORTS if _climbed(blocks) else Weight.AGAINST, key, values)


def _blocks_before(case: Case) -> list[Block]:
    return [b for b in case.signals.blocks if b.last_step < case.detection.onset_step]


def _climbed(blocks: list[Block]) -> bool:
    if len(blocks) < 2:
        return False
    low = min(block.loss for block in blocks)
    return low > 0 and max(block.loss for block in blocks[-2:]) > RISE_BEFORE * low


def number_format(case: Case) -> Evidence | None:
    """fp16 overflows at 65,504; bf16 and fp32 do not."""
    precision = case.context.computes_in
    if precision is None:
        return Evidence(Weight.MISSING, "format_unknown")
    values = {"precision": precision}
    if precision in ("fp16", "float16"):
        return Evidence(Weight.SUPPORTS, "format_fp16", values)
    unquantized = case.context.method is not None and case.context.quantization is None
    return Evidence(Weight.RULES_OUT if unquantized else Weight.AGAINST, "format_wide", values)


def from_the_start(case: Case) -> Evidence | None:
    """A NaN in the very first record has nothing to do with the course of training."""
    last_good = case.number("last_good_step")
    if last_good is not None:
        return Evidence(Weight.AGAINST, "finite_before", {"step": int(last_good)})
    return Evidence(Weight.SUPPORTS, "never_finite")


def go_back(case: Case) -> FixText:
    """Name the last step whose weights were sound: before the climb, if there was one."""
    step = case.number("last_good_step")
    blocks = _blocks_before(case)
    if _climbed(blocks):
        low = min(block.loss for block in blocks)
        step = max(block.last_step for block in blocks if block.loss <= RISE_BEFORE * low)
    if step is not None:
        return FixText("go_back", {"step": int(step)})
    return FixText("start_again" if case.detection.evidence else "go_back_generally")


SYMPTOM = Symptom(
    "SFT106",
    "non-finite",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (climb_before, rate_against_ranges),
            (go_back, lower_learning_rate, keep_clipping),
        ),
        CauseRule(
            "quantization-or-dtype",
            (number_format, check("precision", clean=None)),
            (go_back, fix("use_bf16")),
        ),
        CauseRule(
            "label-mask",
            (from_the_start, check("rows-without-label", clean=None)),
            (fix("check_rows"),),
        ),
    ),
)
