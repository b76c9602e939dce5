from __future__ import annotations

import random
from itertools import count
from math import inf, nan
from typing import Any

import pytest
from logs import Row, feed, fired, noisy

from sftdiag.context import RunContext
from sftdiag.findings import Finding

GOOD = {"loss": 2.0, "grad_norm": 1.0}
BF16, FP16 = RunContext(precision="bf16"), RunContext(precision="fp16")


def log(*rows: dict[str, Any], every: int = 1) -> list[Row]:
    return [{"step": step, **row} for step, row in zip(count(every, every), rows, strict=False)]


def lost(rows: int, grad_norm: float = nan, **more: float) -> list[dict[str, float]]:
    losses = noisy([2.0] * rows, 0.02)
    return [{"loss": loss, "grad_norm": grad_norm, **more} for loss in losses]


def last(rows: list[Row], context: RunContext | None = None) -> Finding:
    return [f for f in feed(rows, context) if f.name == "steps-skipped"][-1]


def skipped(rows: list[Row], context: RunContext | None = None) -> list[tuple[str, str, int]]:
    return [seen for seen in fired(rows, context) if seen[0] == "steps-skipped"]


@pytest.mark.parametrize("good", [0, 1, 30])
@pytest.mark.parametrize("grad_norm", [nan, inf])
@pytest.mark.parametrize("every", [1, 10, 50])
def test_at_the_third_record_where_no_scaler_is_at_work(
    every: int, grad_norm: float, good: int
) -> None:
    """In bf16 and fp32; and at 10 steps a record, three are more than a scaler ever skips."""
    rows = log(*[GOOD] * good, *lost(30, grad_norm), every=every)
    third = every * (good + 3)
    assert skipped(rows, BF16) == [("steps-skipped", "error", third)]
    if every > 1:
        for context in (FP16, RunContext()):
            assert skipped(rows, context) == [("steps-skipped", "error", third)]
    (finding,) = [f for f in feed(rows, BF16) if f.code == "SFT112"]
    assert f"({3 * every:,} steps)" in finding.message
    assert "Once a weight is NaN" not in finding.why


@pytest.mark.parametrize("every", [1, 10, 50])
def test_at_the_second_record_under_deepspeed_without_a_scaler(every: int) -> None:
    rows = log(*[GOOD] * 5, *lost(30, inf), every=every)
    deepspeed = BF16.replace(deepspeed=True)
    assert skipped(rows, deepspeed) == [("steps-skipped", "error", 7 * every)]
    assert skipped(log(*[GOOD] * 5, *lost(1, inf), *[GOOD] * 20), deepspeed) == []
    third = skipped(rows, FP16.replace(deepspeed=True))
    assert third[-1] == ("steps-skipped", "error", (8 if every > 1 else 22) * every)


@pytest.mark.parametrize("context", [FP16, RunContext()])
def test_a_scaler_that_looks_for_its_scale_may_skip_sixteen(context: RunContext) -> None:
    """They are counted in steps, and told as a note when they are over."""
    rows = log(*lost(16, inf), *[GOOD] * 30)
    assert skipped(rows, context) == []
    assert ("scattered-overflow", "info", 17) in fired(rows, context)
    assert skipped(log(*lost(30, inf)), context) == [("steps-skipped", "error", 17)]


@pytest.mark.parametrize(
    ("context", "note"),
    [(BF16, "lost-gradients"), (FP16, "scattered-overflow"), (RunContext(), "scattered-overflow")],
)
def test_an_overflow_is_a_loss_scalers_only_in_fp16(context: RunContext, note: str) -> None:
    rows = log(*[GOOD] * 12, *lost(1, inf), *[GOOD] * 30)
    assert [seen for seen in fired(rows, context) if seen[1] == "info"] == [(note, "info", 14)]


def test_a_step_that_the_scaler_skips_holds_the_schedule() -> None:
    """NaN gradients while the rate moves on are dropped by something else: three are enough."""
    rows = log(*lost(30))
    for row in rows:
        row["learning_rate"] = 1e-4 - 1e-6 * row["step"]
    assert skipped(rows) == [("steps-skipped", "error", 3)]


def test_two_records_where_the_schedule_is_held_over_more_steps() -> None:
    rows = log(*[GOOD] * 6, *lost(10, inf), every=50)
    for row in rows:
        row["learning_rate"] = 1e-4 - 1e-8 * min(row["step"], 350)
    assert skipped(rows, FP16) == [("steps-skipped", "error", 400)]
    assert "stood still in mid-schedule for 50 steps" in last(rows, FP16).message


def test_evaluations_that_agree_to_the_last_digit_are_told() -> None:
    rows: list[Row] = []
    for row in log(*[GOOD] * 3, *lost(8, inf), every=4):
        rows += [row, {"step": row["step"], "eval_loss": 17.7 if row["step"] > 8 else 6.0}]
    assert "3 evaluations agree" in last(rows, BF16).message


def test_deepspeed_in_bf16() -> None:
    """It logs inf, keeps the weights and holds the schedule; the fix is for DeepSpeed."""
    context = RunContext(precision="bf16", method="full", deepspeed=True)
    rows = log(*[GOOD] * 5, *lost(6, inf), every=10)
    (finding,) = [f for f in feed(rows, context) if f.code == "SFT112"]
    assert finding.fired_step == 70
    found = {cause.id: cause for cause in finding.causes}
    assert found["quantization-or-dtype"].status.name == "RULED_OUT"
    assert "overlap_comm" in found["hardware-or-kernel"].fixes[0].text
    assert "label-mask" not in found


def test_a_blow_up_keeps_the_learning_rate_as_its_story() -> None:
    """ms-swift drops the gradients: the loss stays where the one step has thrown it."""
    rows = log({"loss": 6.3, "grad_norm": 2.1}, *lost(5), every=4)
    for row in rows[1:]:
        row["loss"] *= 9000.0
    (finding,) = [f for f in feed(rows, BF16) if f.code == "SFT112"]
    assert finding.causes[0].id == "learning-rate-too-high"
    assert finding.causes[0].status.name == "LIKELY"


def test_it_is_over_when_a_gradient_arrives() -> None:
    rows = log(*[GOOD] * 5, *lost(5), *[GOOD] * 5)
    assert [f.resolved_step for f in feed(rows, BF16) if f.code == "SFT112"] == [None, 11]


def test_a_tenth_of_the_steps_is_more_than_a_scaler_skips() -> None:
    rows = log(*([GOOD] * 6 + lost(1, inf)) * 30)
    assert skipped(rows, FP16) == [("steps-skipped", "warning", 70)]
    assert skipped(log(*([GOOD] * 16 + lost(1, inf)) * 30), FP16) == []


def test_it_ends_flat_because_nothing_moves() -> None:
    rows = log(*lost(150, learning_rate=2e-4), every=10)
    flat = [f for f in feed(rows, BF16) if f.code == "SFT101"]
    assert all(f.consequence_of == "SFT112@30" for f in flat)


@pytest.mark.parametrize(("share", "told"), [(0.08, False), (0.4, True)])
def test_rows_without_a_label(share: float, told: bool) -> None:
    """Their gradient is exactly 0, and none is just small."""
    draw = random.Random(1)
    rows = log(*({**GOOD, "grad_norm": float(draw.random() >= share)} for _ in range(300)))
    assert [severity for _, severity, _ in skipped(rows)] == ["warning"] * told
    if told:
        assert last(rows).causes[0].id == "label-mask"


def test_rows_known_by_heart_leave_gradients_of_every_size() -> None:
    draw = random.Random(2)
    sizes = [10 ** draw.uniform(-10, 0.5) for _ in range(400)]
    rows = log(*({**GOOD, "grad_norm": size if size > 1e-7 else 0.0} for size in sizes))
    assert sum(row["grad_norm"] == 0.0 for row in rows) > 80
    assert skipped(rows) == []


def test_gradients_of_zero_throughout() -> None:
    """A preference log has one from the first pair on; rewards may be alike for a while."""
    zero = {"loss": 0.69, "grad_norm": 0.0}
    preference = log(*[{**zero, "rewards/chosen": 0.0}] * 10)
    assert skipped(preference) == [("steps-skipped", "error", 3)]
    assert last(preference).causes[0].id == "frozen-parameters"
    rewards = {"loss": 0.0, "grad_norm": 0.0, "reward": 0.0}
    assert skipped(log(*[rewards] * 120)) == [("steps-skipped", "warning", 100)]
    late = log(*[rewards] * 90, *[{**rewards, "grad_norm": 0.2}] * 30)
    assert skipped(late) == []
    assert last(log(*[rewards] * 120)).causes[0].id == "poor-data"


def test_group_without_variation_now_and_then() -> None:
    rows = log(*[{**GOOD, "reward": 1.0}, *lost(1, 0.0, reward=1.0)] * 60)
    assert skipped(rows) == []


def test_a_step_without_a_loss_that_the_run_goes_on_from_is_a_note() -> None:
    """What DeepSpeed does with a NaN batch on one rank: nothing of it is in the weights."""
    rows = log(*[GOOD] * 15, {"loss": nan, "grad_norm": inf}, *[GOOD] * 5)
    (note,) = [f for f in feed(rows, BF16) if f.code == "SFT112"]
    assert (note.name, note.severity.label, note.onset_step) == ("lost-gradients", "info", 16)
    stays = log(*[GOOD] * 15, *[{"loss": nan, "grad_norm": nan}] * 5)
    assert [f.code for f in feed(stays, BF16)] == ["SFT106"]
