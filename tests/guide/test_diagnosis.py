"""The causes of a finding, as far as a log can tell them apart."""

from __future__ import annotations

from math import inf, nan

import pytest
from logs import Row, feed, noisy, overfitting, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding
from sftdiag.monitor import Monitor


def flat(level: float = 11.3, **constant: float) -> list[Row]:
    return train_rows(noisy([level] * 60, 0.005), **constant)


def last(rows: list[Row], context: RunContext | None = None) -> Finding:
    return feed(rows, context)[-1]


def cause(finding: Finding, name: str) -> Cause:
    return next(cause for cause in finding.causes if cause.id == name)


@pytest.mark.parametrize(
    ("rows", "context", "first", "status"),
    [
        (flat(learning_rate=1e-8, grad_norm=2.0), {}, "learning-rate-too-low", "CONFIRMED"),
        (flat(learning_rate=1e-8), {}, "learning-rate-too-low", "LIKELY"),
        (flat(learning_rate=2e-5, grad_norm=0.0), {}, "vanishing-gradient", "LIKELY"),
        (flat(2.0, learning_rate=2e-5, grad_norm=1e7), {}, "quantization-or-dtype", "LIKELY"),
        (
            flat(9.0, learning_rate=2e-5, grad_norm=2.0, entropy=4.0, mean_token_accuracy=0.0),
            {"vocab_size": 16_384},
            "label-mask",
            "LIKELY",
        ),
        (
            flat(5.9, learning_rate=3e-4, grad_norm=0.04),
            {"method": "full", "trainable_parameters": 10, "total_parameters": 10**6},
            "frozen-parameters",
            "LIKELY",
        ),
        (
            flat(5.95, learning_rate=2e-5, grad_norm=2.0, entropy=5.94),
            {"vocab_size": 384},
            "weights-not-loaded",
            "LIKELY",
        ),
        (
            flat(learning_rate=2e-4, grad_norm=0.0),
            {"method": "lora", "lora_b_zero_step": 20},
            "vanishing-gradient",
            "LIKELY",
        ),
        (
            flat(learning_rate=2e-4, grad_norm=2.0),
            {"method": "lora", "lora_b_zero_step": 20},
            "frozen-parameters",
            "CONFIRMED",
        ),
    ],
)
def test_the_same_flat_curve_has_many_causes(
    rows: list[Row], context: dict[str, object], first: str, status: str
) -> None:
    finding = last(rows, RunContext(**context))
    assert (finding.causes[0].id, finding.causes[0].status.name) == (first, status)
    assert finding.causes[0].because


def test_the_weights_of_a_toy_are_random_on_purpose() -> None:
    rows = train_rows(noisy([4.0] * 60, 0.005), learning_rate=2e-5, grad_norm=2.0, entropy=4.2)
    rows[0]["loss"] = 4.28
    found = cause(last(rows, RunContext(vocab_size=72)), "weights-not-loaded")
    assert found.status.name == "POSSIBLE"
    assert "72 tokens" in found.against[0]


def test_nothing_is_likely_without_evidence_in_the_log() -> None:
    finding = last(flat())
    assert {cause.status.name for cause in finding.causes} == {"POSSIBLE"}
    assert any("print" in text for cause in finding.causes for text in cause.missing)


def test_the_fix_is_in_the_runs_own_numbers() -> None:
    finding = last(flat(learning_rate=3e-7, grad_norm=2.0), RunContext(method="qlora"))
    fix = finding.causes[0].fixes[0]
    assert fix.changes == {"SFTConfig.learning_rate": (3e-7, 2e-4)}
    assert "3e-07" in fix.text


def test_an_adapter_at_zero_says_nothing_at_a_rate_of_zero() -> None:
    finding = last(flat(learning_rate=0.0, grad_norm=2.0), RunContext(lora_b_zero_step=20))
    assert finding.causes[0].id == "schedule"
    assert "frozen-parameters" not in {cause.id for cause in finding.causes}


def test_an_adapter_in_shards_is_missing_evidence() -> None:
    rows = flat(learning_rate=2e-4, grad_norm=2.0)
    frozen = cause(last(rows, RunContext(lora_b_sharded=True)), "frozen-parameters")
    assert any("ZeRO-3, FSDP" in text for text in frozen.missing)
    assert "requires_grad" in frozen.fixes[0].text
    whole = cause(last(rows, RunContext()), "frozen-parameters")
    assert not any("FSDP" in text for text in whole.missing)


def test_overfitting_names_the_epoch_of_the_best_evaluation() -> None:
    finding = last(overfitting(400, turn=180), RunContext(num_train_epochs=4.0))
    overfit = finding.causes[0]
    assert (overfit.id, overfit.status.name) == ("overfitting", "LIKELY")
    assert overfit.fixes[0].changes == {"SFTConfig.num_train_epochs": (4.0, 2)}


def test_a_rise_before_any_row_was_repeated_is_another_distribution() -> None:
    rows = [{**row, "epoch": row["step"] / 250} for row in overfitting()]
    finding = last(rows)
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("eval-distribution", "LIKELY")
    assert cause(finding, "overfitting").status.name == "POSSIBLE"


def test_nan_after_a_climb_is_the_learning_rate() -> None:
    losses = [2.0] * 20 + [3.0, 5.0, 8.0, 12.0, nan, nan]
    finding = last(train_rows(losses, learning_rate=0.01))
    assert (finding.causes[0].id, finding.causes[0].status.name) == (
        "learning-rate-too-high",
        "LIKELY",
    )
    assert any("step 20 or earlier" in fix.text for fix in finding.causes[0].fixes)


def test_nan_in_fp16() -> None:
    finding = last(
        train_rows([2.0] * 20 + [nan] * 2, learning_rate=1e-5), RunContext(precision="fp16")
    )
    assert finding.causes[0].id == "quantization-or-dtype"
    finding = last(
        train_rows([2.0] * 20 + [nan] * 2, learning_rate=1e-5),
        RunContext(precision="bf16", method="full"),
    )
    assert cause(finding, "quantization-or-dtype").status.name == "RULED_OUT"


def test_nan_in_float16_weights_without_mixed_precision() -> None:
    known = RunContext(method="full", precision="fp32", dtype="float16")
    finding = last(train_rows([nan] * 3, learning_rate=1e-5), known)
    assert finding.causes[0].id == "quantization-or-dtype"
    assert "computes in float16" in finding.causes[0].because[0]


def test_an_early_jump_while_the_rate_climbs() -> None:
    jump = [6.0, *noisy([11.0 - 0.05 * step for step in range(40)], 0.01)]
    for climbs in (True, False):
        rows = [
            {**row, "learning_rate": 2e-4 * (min(1.0, row["step"] / 20) if climbs else 1.0)}
            for row in train_rows(jump)
        ]
        (found, *_) = [f for f in feed(rows) if f.code == "SFT109"]
        high = cause(found, "learning-rate-too-high")
        assert high.status.name == ("LIKELY" if climbs else "POSSIBLE")
        assert any("while the rate climbed" in text for text in high.because) == climbs


def test_a_rebound_after_steps_at_the_epochs_edges_is_too_many_epochs() -> None:
    levels = [3.0 * 0.85 ** min(4, step // 50) for step in range(250)]
    levels += [min(2.2, levels[-1] + 0.02 * step) for step in range(150)]
    rows = [
        {**row, "epoch": row["step"] / 50.0}
        for row in train_rows(noisy(levels, 0.005), learning_rate=2e-5)
    ]
    found = [f for f in feed(rows, RunContext(num_train_epochs=8.0)) if f.code == "SFT102"][-1]
    epochs = cause(found, "too-many-epochs")
    assert epochs.status.name == "LIKELY"
    assert any("where an epoch began" in text for text in epochs.because)
    assert epochs.fixes[0].changes == {"SFTConfig.num_train_epochs": (8.0, 3)}
    smooth = [{**row, "epoch": row["step"] / 1000.0} for row in rows]
    (found, *_) = [f for f in feed(smooth) if f.code == "SFT102"]
    assert not cause(found, "too-many-epochs").because


def lost(first: list[float], rate: float, every: int = 10) -> list[Row]:
    rows = [*first, *[nan] * 20]
    return [
        {"step": every * n, "loss": loss, "grad_norm": loss, "learning_rate": rate}
        for n, loss in enumerate(rows, start=1)
    ]


@pytest.mark.parametrize("rate", [0.3, 1e30])
@pytest.mark.parametrize("first", [[], [2.0], [2.0] * 12, [2.0, 9.0, *[2.0] * 12]])
def test_at_a_rate_beyond_any_it_is_the_first_cause_of_a_loss_that_is_lost(
    first: list[float], rate: float
) -> None:
    finding = last(lost(first, rate))
    assert finding.code == "SFT106"
    best = finding.causes[0]
    assert (best.id, best.status.name) == ("learning-rate-too-high", "LIKELY")
    assert "SFTConfig.learning_rate" in best.fixes[0].changes


BEHIND = {
    "chance": {"loss": 10.8, "grad_norm": 0.0},
    "level": {"loss": 8.0, "grad_norm": 0.0},
    "huge": {"loss": 5e8, "grad_norm": inf},
    "lost": {"loss": nan},
    "logged as 0": {"loss": 0.0},
}
"""Rows behind a step that broke the model."""


@pytest.mark.parametrize(("optim", "rate"), [("sgd", 1e6), ("sgd", 300.0), ("adamw_torch", 5.0)])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("behind", BEHIND)
def test_a_rate_beyond_any_is_the_first_cause_of_whatever_is_left_behind_it(
    behind: str, mean: bool, optim: str, rate: float
) -> None:
    """Also where the first row averages the steps before it broke and after, or has no norm."""
    every, rows = 5 if mean else 1, [dict(BEHIND[behind]) for _ in range(20)]
    first = (3.0 + 4 * rows[0]["loss"]) / 5 if mean else 3.0
    if behind not in ("lost", "logged as 0"):
        rows[0] = {"loss": first, "grad_norm": 22.0}
    known = RunContext(
        vocab_size=49_152, method="full", optim=optim, precision="bf16", max_steps=20 * every
    )
    log = [{"step": every * n, "learning_rate": rate, **row} for n, row in enumerate(rows, 1)]
    if behind in ("lost", "logged as 0") and not mean:
        log = [{"step": 1, "learning_rate": rate, "loss": 3.0}, *log[1:]]
    primary = report_of(log, known).primary
    assert primary is not None
    best = primary.causes[0]
    assert (best.id, best.status.name) == ("learning-rate-too-high", "LIKELY")
    ((old, new),) = best.fixes[0].changes.values()
    assert (old, new) == (rate, 0.1 if optim == "sgd" else 2e-5)


def test_a_rate_that_came_later_did_not_lose_the_first_rows() -> None:
    rows = [
        {"step": step, "loss": 3.9 if step == 1 else nan, "learning_rate": 1e-5 * step}
        for step in range(1, 31)
    ]
    known = RunContext(method="full", precision="fp16")
    best, *others = last(rows, known).causes
    assert (best.id, best.status.name) == ("quantization-or-dtype", "LIKELY")
    high = next(other for other in others if other.id == "learning-rate-too-high")
    assert high.status.name == "POSSIBLE"


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ((), "none is known of"),
        ((50, 100), "go back to checkpoint-100"),
        ((50, 100, 150), "go back to checkpoint-100"),
        ((150,), "no checkpoint that is left is of step 120 or earlier"),
    ],
)
def test_the_checkpoint_to_go_back_to_is_one_that_is_there(
    saved: tuple[int, ...], told: str
) -> None:
    monitor = Monitor(RunContext())
    monitor.take_checkpoints(saved)
    for row in lost([2.0] * 12, 0.3):
        monitor.feed_entry(row)
    finding = next(f for f in monitor.report().findings if f.code == "SFT106")
    assert told in cause(finding, "learning-rate-too-high").fixes[1].text


def test_at_the_first_step_no_rate_has_done_anything_yet() -> None:
    finding = last(lost([], 1e30, every=1))
    assert cause(finding, "learning-rate-too-high").status.name == "POSSIBLE"


def test_a_jump_before_it_broke_is_the_rate() -> None:
    calm, jumped = ([2.0, top, 3.5, 2.2, *[2.0] * 12] for top in (2.1, 4.0))
    assert cause(last(lost(calm, 1e-5)), "learning-rate-too-high").status.name == "POSSIBLE"
    because = cause(last(lost(jumped, 1e-5)), "learning-rate-too-high").because
    assert any("jumped from 2" in sentence for sentence in because)


def shard(sampler: str | None) -> Finding:
    rows: list[Row] = []
    for row in train_rows([3.0 - 0.01 * n if n < 60 else 4.5 for n in range(1, 121)]):
        gone = row["step"] >= 60
        rows.append({**row, "mean_token_accuracy": 0.03 if gone else 0.4, "grad_norm": 1.0})
        if row["step"] % 10 == 8:
            rows.append({"step": row["step"], "eval_loss": 5.0 if gone else 2.5})
    known = RunContext(
        sampler=sampler,
        train_samples=1000,
        per_device_train_batch_size=4,
        world_size=1,
        gradient_accumulation_steps=2,
    )
    return [finding for finding in feed(rows, known) if finding.code == "SFT102"][-1]


def test_rows_that_undo_what_was_learned_are_named_by_their_numbers() -> None:
    best = shard("sequential").causes[0]
    assert (best.id, best.status.name) == ("poor-data", "LIKELY")
    assert "from index 472 of the dataset on" in best.fixes[0].text
    assert "train_dataset.select(range(472, 544))" in best.fixes[0].text
    assert "from step 60 on" in shard(None).causes[0].fixes[0].text


def test_a_gradient_that_grew_before_the_loss_blew_up_is_the_rate() -> None:
    def blown(norms: list[float]) -> Finding:
        losses = [*[1.0 + 0.01 * (n % 3) for n in range(60)], *[6.0] * 20]
        rows = [
            {"step": n, "loss": loss, "grad_norm": norm, "learning_rate": 1e-4 * (1 - n / 100)}
            for n, (loss, norm) in enumerate(zip(losses, norms, strict=True), start=1)
        ]
        return next(finding for finding in feed(rows) if finding.code == "SFT104")

    grown = blown([*[1.0] * 40, *[1e3] * 40])
    assert (grown.causes[0].id, grown.causes[0].status.name) == ("learning-rate-too-high", "LIKELY")
    assert cause(blown([1.0] * 80), "learning-rate-too-high").status.name == "POSSIBLE"


def test_where_nothing_was_evaluated_no_evaluation_row_is_among_those_of_training() -> None:
    rows = train_rows([0.5 * 0.8**n + 1e-4 for n in range(80)])
    rows = [{**row, "epoch": row["step"] / 20} for row in rows]
    finding = next(found for found in feed(rows) if found.code == "SFT202")
    assert cause(finding, "eval-leak").status.name == "RULED_OUT"


@pytest.mark.parametrize(("best", "agrees"), [(1.0, False), (4.0, True), (20.0, False)])
def test_the_guides_epochs_are_a_source_only_where_the_run_agrees(
    best: float, agrees: bool
) -> None:
    rows: list[Row] = []
    for step in range(1, 301):
        epoch = step / 10
        rows.append({"step": step, "loss": 2.0 / (1 + epoch), "epoch": epoch})
        if step % 10 == 0:
            rows.append({"step": step, "eval_loss": 1.5 + 0.1 * abs(epoch - best), "epoch": epoch})
    known = RunContext(num_train_epochs=30, train_samples=80)
    finding = next(found for found in feed(rows, known) if found.code == "SFT201")
    told = " ".join(cause(finding, "overfitting").because)
    assert ("counts more than the 3 to 5 epochs" in told) is not agrees
    assert ("the guide takes 3 to 5" in told) is agrees
