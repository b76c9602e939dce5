"""Evidence on losses and gradients that are not finite, shared by SFT106 and SFT112."""

from __future__ import annotations

from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight, fix
from sftdiag.guide.from_checks import untold
from sftdiag.guide.learning_rate import beyond_before
from sftdiag.signals.blocks import Block
from sftdiag.signals.leap import blew_up_within
from sftdiag.signals.zeros import HUGE, LEAP

RISE_BEFORE = 1.25
"""Loss of the last block before the NaN over the lowest block: on the labelled runs that blew up it
was 1.3 to 5, on those with an injected NaN weight 1.0."""

HALF = ("fp16", "float16")


def climb_before(case: Case) -> Evidence | None:
    """The train loss before the last finite record."""
    before, after = case.number("loss_before"), case.number("loss_after")
    if before is not None and after is not None and after > LEAP * abs(before):
        return Evidence(Weight.SUPPORTS, "loss_leapt", {"before": before, "after": after})
    if _blew_up_in_the_first_row(case):
        values = {"loss": case.signals.first_loss, "steps": case.signals.first_step}
        return Evidence(Weight.SUPPORTS, "blew_up_in_first_row", values)
    blocks = blocks_before(case)
    if len(blocks) < 2:
        return None
    low, last = min(block.loss for block in blocks), max(block.loss for block in blocks[-2:])
    values = {"low": low, "last": last}
    if climbed(blocks):
        return Evidence(Weight.SUPPORTS, "loss_climbed", values)
    top = max(blocks, key=lambda block: block.loss)
    if 0.0 < RISE_BEFORE * blocks[0].loss < top.loss:
        seen = {"first": blocks[0].loss, "top": top.loss, "step": top.last_step}
        return Evidence(Weight.SUPPORTS, "loss_jumped", seen)
    # Where no rate could be worse, that it took a while says nothing for it.
    return None if beyond_before(case) else Evidence(Weight.AGAINST, "loss_calm", values)


def _blew_up_in_the_first_row(case: Case) -> bool:
    """Return whether a first row of many steps is what nothing but those steps explains."""
    first, steps = case.signals.first_loss, case.signals.first_step
    if first is None or steps is None or not case.detection.evidence.get("from_first_record"):
        return False
    return blew_up_within(first, steps, case.context)


def blocks_before(case: Case) -> list[Block]:
    """Return the blocks of train losses before the onset."""
    return [b for b in case.signals.blocks if b.last_step < case.detection.onset_step]


def climbed(blocks: list[Block]) -> bool:
    """Return whether the loss had risen before it was lost."""
    if len(blocks) < 2:
        return False
    low = min(block.loss for block in blocks)
    return low > 0 and max(block.loss for block in blocks[-2:]) > RISE_BEFORE * low


def number_format(case: Case) -> Evidence | None:
    """fp16 overflows at 65,504; bf16 and fp32 do not.

    What the run's arguments say is proof. The dtype that config.json names is that of the stored
    weights: a run with fp16=True computes in fp16 all the same.
    """
    precision, dtype = case.context.precision, case.context.dtype
    if precision in HALF or dtype in HALF:
        half = precision if precision in HALF else dtype
        return Evidence(Weight.SUPPORTS, "format_fp16", {"precision": half})
    if precision is None:
        if dtype is None:
            return Evidence(
                Weight.MISSING, untold(case, "format_unknown", "format_unknown_in_a_loop")
            )
        return Evidence(
            Weight.MISSING,
            untold(case, "format_of_the_file", "format_of_the_file_in_a_loop"),
            {"dtype": dtype},
        )
    unquantized = case.context.method is not None and case.context.quantization is None
    values = {"precision": case.context.computes_in}
    return Evidence(Weight.RULES_OUT if unquantized else Weight.AGAINST, "format_wide", values)


def base_quantized(case: Case) -> Evidence | None:
    """A base in few bits is what damage at quantizing, storing or sharding most often hits."""
    bits = case.context.quantization
    return Evidence(Weight.SUPPORTS, "base_quantized", {"bits": bits}) if bits else None


def lost_from_the_start(case: Case) -> Evidence | None:
    """Numbers that are lost or absurd before training could have done it."""
    first = case.signals.first_loss
    if _blew_up_in_the_first_row(case) or lost_by_a_rate_beyond_any(case):
        return None
    if first is not None and first > HUGE:
        return Evidence(Weight.SUPPORTS, "huge_first_loss", {"loss": first})
    if case.detection.evidence.get("from_first_record"):
        return Evidence(Weight.SUPPORTS, "no_gradient_was_finite")
    return None


def lost_by_a_rate_beyond_any(case: Case) -> bool:
    """Return whether the first row is of several steps, at a rate that breaks a model in one."""
    from_first = bool(case.detection.evidence.get("from_first_record"))
    late = from_first and case.detection.onset_step > 1
    return late and beyond_before(case) is not None


def not_from_training(case: Case) -> Evidence | None:
    """The same against the learning rate: no step had been made, or one at the most."""
    piece = lost_from_the_start(case)
    at_once = case.detection.evidence.get("from_first_record") or case.signals.first_step in (0, 1)
    return Evidence(Weight.AGAINST, piece.key, piece.values) if piece and at_once else None


def overlap_off(case: Case) -> FixText | None:
    """DeepSpeed's overlap of communication has lost gradients; where it is in use."""
    return FixText("deepspeed_overlap") if case.context.deepspeed else None


def overlap_off_if(case: Case) -> FixText | None:
    """The same where it may be in use: for a few runs, so not the first to try."""
    return FixText("deepspeed_overlap_if") if case.context.deepspeed is None else None


HARDWARE = CauseRule(
    "hardware-or-kernel",
    (lost_from_the_start,),
    (overlap_off, fix("other_kernels"), fix("load_afresh"), overlap_off_if),
)
"""Kernels, hardware, and weights that were damaged when they were quantized, stored or sent."""
