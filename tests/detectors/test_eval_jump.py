"""SFT102 by the evaluations: a jump from one to the next that stays."""

from __future__ import annotations

import random

import pytest

from sftdiag.context import RunContext
from sftdiag.monitor import Monitor


def run(after: list[float], train_after: float) -> list[dict[str, float]]:
    """Return a run whose evaluations settle and then are these, twelve train rows before each."""
    draw = random.Random(1)
    rows: list[dict[str, float]] = []
    for number, loss in enumerate([3.25, 3.08, 3.04, 2.97, 2.93, 2.91, *after], 1):
        level = 2.6 if number <= 6 else train_after
        for step in range(12 * number - 11, 12 * number + 1):
            rows.append({"step": step, "loss": level * draw.gauss(1, 0.1)})
        rows.append({"step": 12 * number, "eval_loss": loss})
    return rows


def fired(rows: list[dict[str, float]]) -> list[tuple[int, str]]:
    monitor = Monitor(RunContext(max_steps=240))
    found = [f for row in rows for f in monitor.feed_entry(row) if f.name == "train-loss-rebound"]
    return [(f.resolved_step or f.fired_step, "over" if f.resolved_step else "on") for f in found]


def test_a_jump_that_stays() -> None:
    """A few steps at 30 times the rate: a real model's curve (docs/gpu.md, rate-spike-hidden)."""
    assert fired(run([3.64, 3.48, 3.42, 3.41], 2.65)) == [(96, "on")]


def test_the_train_loss_beside_it_is_enough() -> None:
    assert fired(run([3.64, 3.48, 3.42, 3.41], 3.5)) == [(84, "on")]


def test_a_jump_that_is_made_up_is_over() -> None:
    assert fired(run([3.64, 3.48, 3.0, 2.9], 2.65)) == [(96, "on"), (108, "over")]
    assert fired(run([3.64, 2.95, 2.9, 2.9], 3.5)) == [(84, "on"), (96, "over")]


@pytest.mark.parametrize(
    ("after", "train"),
    [
        ([3.64, 2.92, 2.9, 2.88], 2.7),
        ([3.1, 3.1, 3.1, 3.1], 2.7),
        ([3.64, 3.7, 3.8, 3.9], 1.2),
    ],
    ids=["one evaluation alone", "a bump at the rate's peak", "rows learned by heart"],
)
def test_other_evaluations_are_no_rebound(after: list[float], train: float) -> None:
    assert fired(run(after, train)) == []


def since_first(evaluations: list[float], train: list[float]) -> list[dict[str, float]]:
    """Return a run that evaluates every 100 steps and logs a train row every 300."""
    rows: list[dict[str, float]] = []
    for number, loss in enumerate(evaluations, 1):
        if number % 3 == 0 and number // 3 <= len(train):
            rows.append({"step": 100 * number - 50, "loss": train[number // 3 - 1]})
        rows.append({"step": 100 * number, "eval_loss": loss})
    return rows


WORSE = [2.55, 3.62, 3.49, 3.19, 3.96, 3.98, 3.72, 4.46, 4.0, 4.17]


def test_all_evaluations_above_the_first_beside_a_train_loss_that_rose() -> None:
    """The rate was far too high from the start: both losses are worse than they were."""
    rows = since_first(WORSE, [1.24, 2.03, 2.16])
    assert fired(rows) == [(600, "on")]


def test_a_train_loss_that_falls_meanwhile_is_another_story() -> None:
    assert fired(since_first(WORSE, [1.24, 0.8, 0.5])) == []


def test_a_weighted_loss_may_rise_on_both_sides() -> None:
    weighted = [0.05 + 0.02 * place for place in range(10)]
    assert fired(since_first(weighted, [0.06, 0.11, 0.16])) == []


def test_evaluations_back_at_the_first_have_lost_nothing() -> None:
    back = since_first([*WORSE[:6], 2.6, 2.5, 2.5], [1.24, 2.03, 1.2])
    assert fired(back) == [(600, "on"), (700, "over")]
