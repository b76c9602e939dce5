from __future__ import annotations

import pytest
from logs import Row, train_rows
from logs import feed as all_findings
from logs import fired as all_fired

from sftdiag.findings import Finding

OWN = ("zero-loss", "policy-loss-zero")


def fired(rows: list[Row]) -> list[tuple[str, str, int]]:
    return [told for told in all_fired(rows) if told[0] in OWN]


def feed(rows: list[Row]) -> list[Finding]:
    return [finding for finding in all_findings(rows) if finding.name in OWN]


def test_no_label_from_the_start() -> None:
    rows = train_rows([0.0] * 10, grad_norm=0.0, entropy=0.0, num_tokens=100.0)
    assert fired(rows) == [("zero-loss", "error", 3)]
    (finding,) = feed(rows)
    assert finding.causes[0].id == "label-mask"
    assert finding.causes[0].status.name == "CONFIRMED"


def test_two_records_over_many_steps_are_enough() -> None:
    rows = [{"step": 500, "loss": 0}, {"step": 1000, "loss": 0}]
    assert fired(rows[:1]) == []
    assert fired(rows) == [("zero-loss", "error", 1000)]


def test_one_record_is_enough_beside_an_evaluation_of_zero() -> None:
    rows = [{"step": 516, "loss": 0}, {"step": 516, "eval_loss": 0.0}]
    assert fired(rows) == [("zero-loss", "error", 516)]


@pytest.mark.parametrize("grad_norm", [None, 0.0])
def test_a_log_that_begins_late_with_a_masked_row(grad_norm: float | None) -> None:
    rows = [{"step": 501 + i, "loss": 2.0 * (i > 0), "grad_norm": float(i > 0)} for i in range(20)]
    if grad_norm is None:
        rows = [{k: v for k, v in row.items() if k != "grad_norm"} for row in rows]
    assert fired(rows) == []


def test_a_resumed_log_remembers_that_the_loss_was_above_zero() -> None:
    rows = [{"step": 250 + i, "loss": 2.0} for i in range(20)]
    rows += [{"step": 260, "loss": 0.0}, {"step": 261, "loss": 0.0}, {"step": 262, "loss": 0.0}]
    assert fired(rows) == []


def test_a_drop_to_zero_later() -> None:
    rows = train_rows([2.0] * 10 + [0.0] * 10, grad_norm=0.0)
    for row in rows[:10]:
        row["grad_norm"] = 1.0
    assert fired(rows) == [("zero-loss", "error", 18)]


def test_without_grad_norm_a_drop_may_be_a_hidden_nan() -> None:
    (finding,) = feed(train_rows([2.0] * 10 + [0.0] * 10))
    assert finding.causes[0].id == "quantization-or-dtype"
    assert finding.causes[0].status.name == "LIKELY"


@pytest.mark.parametrize("tail", [[0.5, 0.1, 0.005, 0.0002], [0.009]])
def test_a_loss_that_is_learned_down_to_zero_is_another_thing(tail: list[float]) -> None:
    assert fired(train_rows([2.0, *tail, *[0.0] * 50])) == []


def test_a_few_rows_without_labels() -> None:
    """They are no loss of 0; how many they are is SFT112's."""
    rows = train_rows(([1.0] * 20 + [0.0] * 3) * 20)
    for row in rows:
        row["grad_norm"] = row["loss"]
    assert fired(rows) == []


@pytest.mark.parametrize(("every", "step"), [(1, 18), (5, 20), (10, 30)])
def test_what_is_counted_are_steps(every: int, step: int) -> None:
    """Eight of them, and two records at the least."""
    rows = [
        {"step": s, "loss": 2.0 * (s <= 10), "grad_norm": float(s <= 10)}
        for s in range(every, 101, every)
    ]
    assert fired(rows) == [("zero-loss", "error", step)]


def test_it_resolves_when_the_loss_comes_back() -> None:
    rows = train_rows([0.0] * 5 + [2.0] * 5)
    assert [f.resolved_step for f in feed(rows)] == [None, 6]


def test_zero_is_normal_in_reinforcement_learning() -> None:
    rows = train_rows([0.0, 0.01, -0.02, 0.0, 0.0, -0.001, 0.0], reward=1.0, grad_norm=0.0)
    assert fired(rows) == [("policy-loss-zero", "info", 6)]
    assert "policy-loss-zero" not in {name for name, *_ in fired(train_rows([0.0] * 20))}
