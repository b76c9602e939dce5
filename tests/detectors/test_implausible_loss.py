"""SFT111: levels that a mean cross entropy cannot have, and those that it can."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
from logs import Row, decay, feed, healthy, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Finding
from sftdiag.vocabularies import PUBLISHED_VOCABULARIES

LEARNING = {"learning_rate": 2e-5}


def mine(rows: list[Row], context: RunContext | None = None) -> list[Finding]:
    found = feed(rows, context)
    return [f for f in found if f.code == "SFT111" and f.resolved_step is None]


def reported(rows: list[Row], context: RunContext | None = None) -> Finding:
    """Return the finding as it stands after all rows."""
    return next(f for f in report_of(rows, context).findings if f.code == "SFT111")


def causes(finding: Finding) -> dict[str, str]:
    return {cause.id: cause.status.name for cause in finding.causes}


@pytest.mark.parametrize("every", [1, 10, 50])
def test_a_loss_far_above_every_blind_guess(every: int) -> None:
    rows = train_rows(noisy([138 - 4 * i for i in range(20)], 0.02), **LEARNING)
    for row in rows:
        row["step"] *= every
    (finding,) = mine(rows)
    assert (finding.severity.label, finding.fired_step) == (
        "warning",
        3 * every,
    )
    (finding,) = mine(rows, RunContext(gradient_accumulation_steps=1))
    assert finding.severity.label == "error"
    assert causes(finding)["not-divided-by-accumulation"] == "RULED_OUT"


@pytest.mark.parametrize("steps", [8, 32])
def test_a_sum_over_accumulation_steps(steps: int) -> None:
    losses = noisy([steps * decay(i, 60, 4.3, 1.2) for i in range(60)], 0.03)
    rows = train_rows(losses, **LEARNING)
    (finding,) = mine(rows, RunContext(gradient_accumulation_steps=steps, vocab_size=32_000))
    assert (finding.severity.label, finding.causes[0].id) == (
        "warning",
        "not-divided-by-accumulation",
    )
    assert causes(finding)["not-divided-by-accumulation"] == "LIKELY"
    rows.append({"step": 60, "epoch": 0.6, "eval_loss": rows[-1]["loss"] / steps})
    found = mine(rows, RunContext(vocab_size=32_000))
    assert found[-1].causes[0].id == "not-divided-by-accumulation"


def test_how_many_times_too_large_is_measured_again_at_later_evaluations() -> None:
    """The first stands beside losses that fall fast; what it says is put right by those after."""
    rows = []
    for step in range(1, 61):
        loss = 4.0 + 6.0 * decay(step, 20, 1.0, 0.0)
        rows.append({"step": step, "loss": 8 * loss, **LEARNING})
        if step % 5 == 0:
            rows.append({"step": step, "eval_loss": 4.0 + 6.0 * decay(step + 2, 20, 1.0, 0.0)})
    first, last = (reported(rows[:count]) for count in (6, len(rows)))
    assert first.id == last.id
    times = [float(str(finding.evidence["times"])) for finding in (first, last)]
    assert times[0] > 9.0
    assert times[1] == pytest.approx(8.0, rel=0.01)
    cause = causes(reported(rows, RunContext(world_size=8)))
    assert cause["not-divided-by-accumulation"] == "CONFIRMED"


@pytest.mark.parametrize("vocabulary", [32_000, 152_064, 262_144])
@pytest.mark.parametrize("known", [True, False])
def test_a_blind_guess_that_does_not_move(vocabulary: int, known: bool) -> None:
    rows = train_rows(noisy([log(vocabulary)] * 8, 0.0005), **LEARNING)
    (finding,) = mine(rows, RunContext(vocab_size=vocabulary if known else None))
    assert (finding.severity.label, finding.fired_step) == ("error", 5)
    assert finding.causes[0].id == "weights-not-loaded"


def test_a_model_from_scratch_is_no_blind_guess_that_stays() -> None:
    for vocabulary in PUBLISHED_VOCABULARIES:
        losses = [decay(i, 200, log(vocabulary), 5.0) for i in range(200)]
        rows = train_rows(noisy(losses, 0.005))
        for row in rows:
            row["learning_rate"] = 1e-4 * min(1.0, row["step"] / 20)
        assert mine(rows, RunContext(max_steps=200)) == []


def test_weights_that_are_not_there_are_named_at_once_whatever_falls_later() -> None:
    losses = [decay(i, 100, 10.8, 3.0) for i in range(100)]
    rows = train_rows(noisy(losses, 0.01), **LEARNING, entropy=10.7, mean_token_accuracy=0.0)
    (finding,) = mine(rows, RunContext(vocab_size=49_152))
    assert (finding.severity.label, finding.fired_step) == ("warning", 1)
    assert finding.causes[0].id == "weights-not-loaded"
    assert mine(rows, RunContext(vocab_size=49_152, total_parameters=500_000)) == []


def test_random_weights_are_an_error_where_the_run_cannot_make_up_for_them() -> None:
    losses = [decay(i, 100, 10.8, 3.0) for i in range(100)]
    rows = train_rows(noisy(losses, 0.01), **LEARNING, entropy=10.7, mean_token_accuracy=0.0)
    answers = RunContext(
        method="full",
        vocab_size=49_152,
        total_parameters=135_000_000,
        max_steps=100,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        world_size=1,
        max_length=512,
        assistant_only_loss=True,
    )

    def severity(known: RunContext) -> str:
        (finding,) = mine(rows, known)
        return finding.severity.label

    assert severity(answers) == "error"
    assert severity(RunContext(method="lora", vocab_size=49_152)) == "error"
    # More tokens than weights, or whole texts: from scratch, perhaps on purpose.
    assert severity(answers.replace(max_steps=40_000)) == "warning"
    assert severity(answers.replace(assistant_only_loss=None)) == "warning"
    assert severity(answers.replace(max_length=None)) == "warning"


def test_a_loss_that_begins_high_and_rests_there() -> None:
    losses = noisy([max(7.4, 18.0 - 2 * i) for i in range(100)], 0.01)
    (finding,) = mine(train_rows(losses, **LEARNING), RunContext(max_steps=100))
    assert finding.severity.label == "warning"
    assert "never been below" in finding.message


def test_near_zero_in_the_first_epoch() -> None:
    losses = [max(1.26 * 0.7**i, 0.0004) for i in range(60)]
    (finding,) = mine(train_rows(losses, **LEARNING))
    assert "before any row was seen twice" in finding.message
    assert {"packing", "padding-in-labels", "low-diversity-data"} <= causes(finding).keys()
    assert "label-mask" not in causes(finding)
    (finding,) = mine(train_rows(losses, **LEARNING), RunContext(packing=False))
    assert causes(finding)["packing"] == "RULED_OUT"


def test_an_evaluation_of_next_to_nothing() -> None:
    rows: list[Row] = train_rows([decay(i, 40, 0.7, 0.05) for i in range(40)], **LEARNING)
    rows.append({"step": 40, "epoch": 0.4, "eval_loss": 0.0003})
    (finding,) = mine(rows)
    assert "eval-leak" in causes(finding)
    rows[-1]["epoch"] = rows[-2]["epoch"] = 3.0
    assert mine(rows) == []


@pytest.mark.parametrize("objective", [{}, {"reward": 0.1}, {"rewards/chosen": 0.1}])
def test_a_loss_below_zero(objective: dict[str, float]) -> None:
    losses = [0.3 - 0.02 * i for i in range(30)]
    found = mine(train_rows(losses, **LEARNING, **objective))
    assert len(found) == (0 if objective else 1)
    assert mine(train_rows(losses, **LEARNING), RunContext(custom_loss=True)) == []


def test_a_start_above_chance_that_comes_down_is_a_note() -> None:
    losses = noisy([16.0, 14.0, 9.0, 5.0, *(decay(i, 60) for i in range(60))], 0.01)
    (note,) = mine(train_rows(losses, **LEARNING))
    assert (note.name, note.severity.label) == ("first-loss-above-chance", "info")


@pytest.mark.parametrize("level", [0.05, 1.0, 3.0, 5.0])
def test_usual_levels_are_silent(level: float) -> None:
    rows: list[dict[str, Any]] = healthy()
    for row in rows:
        for name in ("loss", "eval_loss"):
            if name in row:
                row[name] *= level / 3.0
    assert mine(rows) == []


@pytest.mark.parametrize("vocabulary", [32_000, 152_064, 262_144])
def test_a_blind_guess_whose_batches_scatter(vocabulary: int) -> None:
    """Labelled ones spread by 1 % around ln V; untrained logits cost up to 2 % more."""
    late = 0
    for seed in range(20):
        losses = noisy([1.005 * log(vocabulary)] * 12, 0.008, seed)
        found = mine(train_rows(losses, **LEARNING), RunContext(vocab_size=vocabulary))
        late += not found or found[0].fired_step > 5
    assert late <= 1


def test_what_scatters_so_and_falls_is_no_blind_guess() -> None:
    for seed in range(20):
        losses = [log(32_000) * (1 - 0.005 * i) for i in range(8)]
        rows = train_rows(noisy(losses, 0.001, seed), **LEARNING)
        assert mine(rows, RunContext(vocab_size=32_000)) == []


def test_a_sum_at_the_height_of_a_guess_is_no_guess() -> None:
    rows = train_rows(noisy([8 * 1.4] * 12, 0.008), **LEARNING)
    assert mine(rows, RunContext(gradient_accumulation_steps=8)) == []


def test_a_row_in_which_the_loss_leapt_and_came_down_is_no_sum() -> None:
    rows: list[Row] = [{**row, "step": 10 * row["step"]} for row in train_rows([12.9, 4.6, 3.1])]
    rows.insert(1, {"step": 10, "epoch": 0.1, "eval_loss": 6.7})
    assert [f.name for f in mine(rows, RunContext(vocab_size=1_000))] == []


def test_a_rate_beyond_every_range_is_the_cause_of_such_a_height() -> None:
    rows = train_rows(noisy([374.0, 467.0, 316.0, 244.0], 0.02), learning_rate=3.0)
    (finding,) = mine([{**row, "step": 10 * row["step"]} for row in rows])
    assert (finding.severity.label, finding.fired_step) == ("error", 20)
    assert causes(finding)["learning-rate-too-high"] == "LIKELY"


def _resting(last: float) -> list[Row]:
    return train_rows(noisy([decay(i, 12, 17.4, last) for i in range(100)], 0.005), **LEARNING)


def test_label_smoothing_raises_the_levels() -> None:
    known = RunContext(vocab_size=49_152, max_steps=100)
    rows = _resting(10.9)
    (found,) = mine(rows, known)
    assert found.code == "SFT111"
    assert not mine(rows, known.replace(label_smoothing=0.9))
    # 0.1 of the label costs 2.2 nats at the most.
    assert mine(rows, known.replace(label_smoothing=0.1))


def test_a_loss_stuck_at_what_smoothing_costs() -> None:
    known = RunContext(vocab_size=49_152, max_steps=100, label_smoothing=0.9)
    flat = next(f for f in report_of(_resting(10.9), known).findings if f.code == "SFT101")
    assert causes(flat)["regularization"] == "CONFIRMED"
    assert flat.causes[0].fixes[0].changes["SFTConfig.label_smoothing_factor"] == (0.9, 0.0)
