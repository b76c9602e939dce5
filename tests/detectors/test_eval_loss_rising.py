from __future__ import annotations

import random

import pytest
from logs import Row, decay, feed, fired, healthy, overfitting

from sftdiag.context import RunContext
from sftdiag.signals import MAX_SERIES


def evaluations(
    losses: list[float], train: list[float] | None = None, every: int = 10
) -> list[Row]:
    """Return a log with ``every`` train rows before each evaluation."""
    rows: list[Row] = []
    for index, loss in enumerate(losses):
        level = train[index] if train else 2.0 - 1.5 * index / len(losses)
        for _ in range(every):
            rows.append({"step": len(rows) + 1, "loss": level, "epoch": len(rows) / 30})
        rows.append({"step": rows[-1]["step"], "eval_loss": loss, "epoch": rows[-1]["epoch"]})
    return rows


def test_overfitting_warns_then_becomes_an_error() -> None:
    found = fired(overfitting(rise=0.008))
    assert [(name, severity) for name, severity, _ in found] == [
        ("eval-loss-rising", "warning"),
        ("eval-loss-rising", "error"),
    ]


def test_the_onset_is_the_best_evaluation() -> None:
    finding = feed(overfitting())[0]
    assert finding.onset_step == 60
    assert finding.evidence["eval_loss_min"] == 1.5


def test_three_evaluations_planned_are_judged_by_the_third() -> None:
    rows = evaluations([1.0, 1.2, 1.4])
    assert fired(rows, RunContext(max_steps=rows[-1]["step"])) == [
        ("eval-loss-rising", "warning", 32)
    ]
    assert fired(rows, RunContext(max_steps=10_000)) == []


@pytest.mark.parametrize(
    "losses", [[1.0, 1.2, 1.4, 1.6], [2.0, 1.0, 1.2, 1.3], [2.0, 1.5, 1.0, 1.3, 1.3]]
)
def test_few_evaluations(losses: list[float]) -> None:
    assert [name for name, *_ in fired(evaluations(losses))] == ["eval-loss-rising"]


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 1.05, 1.08, 1.09],
        [2.0, 1.0, 1.3, 0.9],
        [2.0, 1.5, 1.2, 1.0, 1.3],
    ],
)
def test_few_evaluations_that_do_not_say_enough(losses: list[float]) -> None:
    assert fired(evaluations(losses)) == []


def test_a_noisy_evaluation_set_is_silent() -> None:
    for seed in range(40):
        draw = random.Random(seed)
        losses = [decay(i, 60, 2.0, 1.0) * draw.gauss(1, 0.02) for i in range(60)]
        assert fired(evaluations(losses, every=3)) == []


def test_both_losses_rising_is_not_overfitting() -> None:
    losses = [2.0, 1.5, 1.2, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0]
    assert fired(evaluations(losses, train=losses)) == []


def test_a_bump_at_the_learning_rates_peak_comes_back() -> None:
    losses = [2.0, 1.6, 1.7, 1.75, 1.7, 1.5, 1.3, 1.2, 1.1, 1.0]
    assert fired(evaluations(losses, train=[loss - 0.1 for loss in losses])) == []


def test_a_decay_ahead_keeps_it_a_warning() -> None:
    rows = overfitting(rise=0.008)
    for row in rows:
        if "loss" in row:
            row["learning_rate"] = 1e-4 * (1 - 0.4 * row["step"] / 200)
    context = RunContext(lr_scheduler_type="linear")
    assert {severity for _, severity, _ in fired(rows, context)} == {"warning"}
    for row in rows:
        if "loss" in row:
            row["learning_rate"] = 1e-4 * (1 - row["step"] / 201)
    assert {severity for _, severity, _ in fired(rows, context)} == {"warning", "error"}


def test_named_series_are_judged_apart_and_only_the_main_one_can_be_an_error() -> None:
    rows = []
    for row in overfitting(rise=0.01):
        if "eval_loss" in row:
            loss = row.pop("eval_loss")
            for name, value in (("a", 1.0), ("b", loss), ("c", loss)):
                rows.append({**row, f"eval_{name}_loss": value, f"eval_{name}_runtime": 1.0})
        else:
            rows.append(row)
    changes = feed(rows, RunContext(metric_for_best_model="eval_b_loss"))
    worst = {f.series: f.severity.label for f in changes}
    assert worst == {"eval_b_loss": "error", "eval_c_loss": "warning"}
    assert "eval_c_loss was best" in next(f for f in changes if f.series == "eval_c_loss").message
    assert len({f.id for f in changes}) == 2


def test_it_resolves_when_the_loss_comes_back() -> None:
    losses = [2.0, 1.5, 1.2, 1.0, 1.3, 1.5, 1.7, 1.8, 1.8, 1.3, 1.0, 0.95]
    changes = feed(evaluations(losses))
    assert changes[0].resolved_step is None
    assert changes[-1].resolved_step is not None


def test_an_epoch_staircase_with_a_falling_evaluation_is_normal() -> None:
    rows: list[Row] = []
    for epoch in range(3):
        for index in range(40):
            loss = 2.0 - 0.4 * epoch + 0.01 * random.Random(len(rows)).gauss(0, 1)
            rows.append({"step": len(rows) + 1, "epoch": epoch + index / 40, "loss": loss})
        rows.append(
            {"step": rows[-1]["step"], "epoch": epoch + 1.0, "eval_loss": 1.9 - 0.1 * epoch}
        )
    assert [(name, severity) for name, severity, _ in fired(rows)] == [("epoch-staircase", "info")]


def test_healthy_runs_have_no_staircase() -> None:
    assert fired(healthy(400, 20)) == []


@pytest.mark.parametrize("best", [0.0, 1e-12])
def test_a_best_of_nothing_is_told_without_a_share(best: float) -> None:
    losses = [2.0, 1.0, best, 1.0, 1.5, 2.0, 2.5, 3.0]
    (finding, *_) = feed(evaluations(losses))
    assert "%" not in finding.message


def test_evaluations_are_counted_although_they_are_thinned() -> None:
    losses = [2.0 - 0.004 * min(i, 200) + 0.004 * max(0, i - 200) for i in range(900)]
    last = feed(evaluations(losses, every=1), RunContext(lr_scheduler_type="constant"))[-1]
    assert last.evidence["evaluations"] == last.evidence["evaluations_since_min"] + 201


def test_hundreds_of_evaluation_sets_cost_a_bounded_time() -> None:
    rows = []
    for step in range(1, 13):
        rows.append({"step": 10 * step, "loss": 3.0 - 0.2 * step})
        row = {"step": 10 * step}
        for index in range(300):
            row |= {f"eval_{index}_loss": 1.0 + abs(step - 4) / 9, f"eval_{index}_runtime": 1.0}
        rows.append(row)
    found = {finding.series for finding in feed(rows)}
    assert len(found) == MAX_SERIES
