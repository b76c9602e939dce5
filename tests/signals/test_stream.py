from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import signals_of

import sftdiag
from sftdiag.context import RunContext
from sftdiag.signals.blocks import MAX_BLOCKS
from sftdiag.signals.stream import MAX_EVALS


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=700))
def test_blocks_are_bounded_and_keep_the_mean(losses: list[float]) -> None:
    signals = signals_of([{"step": i, "loss": x} for i, x in enumerate(losses)])
    assert len(signals.blocks) < MAX_BLOCKS
    assert signals.block_losses == [block.loss for block in signals.blocks]
    count = sum(block.count for block in signals.blocks)
    expected = sum(losses[:count]) / count
    found = sum(block.loss * block.count for block in signals.blocks) / count
    assert found == pytest.approx(expected)


def test_companions_are_averaged_where_they_are_finite() -> None:
    rows = [
        {"step": i, "loss": 1.0, "grad_norm": 2.0 if i % 2 else float("nan")} for i in range(200)
    ]
    assert {block.grad_norm for block in signals_of(rows).blocks} == {2.0}


def test_lost_losses_stop_here() -> None:
    rows = [{"step": i, "loss": 1.0, "grad_norm": 1.0} for i in range(10)]
    rows += [{"step": i, "loss": 0.0, "grad_norm": math.nan} for i in range(10, 20)]
    rows += [{"step": 20, "eval_loss": math.nan}]
    signals = signals_of(rows)
    assert signals.block_losses == [1.0] * 10
    assert signals.evaluations == {}
    assert signals.evaluations_seen == {"eval_loss": 1}
    assert signals.last_step == 20


def test_evaluations_are_bounded_and_keep_the_ends() -> None:
    rows = [{"step": i, "eval_loss": float(i)} for i in range(5_000)]
    points = signals_of(rows).evaluations["eval_loss"]
    assert len(points) <= MAX_EVALS
    assert points[0].loss == 0.0
    assert points[-1].loss == 4_999.0


def test_an_evaluation_after_the_summary_is_not_the_runs() -> None:
    rows = [
        {"step": 1, "loss": 1.0},
        {"step": 1, "train_runtime": 1.0},
        {"step": 1, "eval_loss": 9.0},
    ]
    assert signals_of(rows).evaluations == {}


def test_a_log_that_goes_back_voids_what_came_after() -> None:
    rows = [{"step": i, "loss": 5.0} for i in range(1, 31)]
    rows += [{"step": 30, "eval_loss": 5.0}]
    rows += [{"step": i, "loss": 1.0} for i in range(11, 31)]
    signals = signals_of(rows)
    assert (
        signals.block_losses == [5.0] * 11 + [1.0] * 19 or signals.block_losses[:10] == [5.0] * 10
    )
    assert signals.block_losses[-1] == 1.0
    assert signals.evaluations["eval_loss"] == []


def test_two_runs_in_one_file_are_no_resume() -> None:
    """The second begins where the first did: high, and without what that had learned."""
    one = [{"step": n, "loss": 2.0 - 0.03 * n, "epoch": n / 30} for n in range(1, 31)]
    assert sftdiag.analyze({"log_history": one * 2}).findings == ()
    resumed = [{**row, "step": row["step"] + 20} for row in one]
    found = sftdiag.analyze({"log_history": [*one, *resumed]}).findings
    assert [finding.name for finding in found] == ["train-loss-rebound"]


def test_the_train_loss_beside_an_evaluation_is_that_of_the_rows_just_before() -> None:
    rows = [{"step": i, "loss": 10.0 - i} for i in range(10)] + [{"step": 9, "eval_loss": 1.0}]
    (point,) = signals_of(rows).evaluations["eval_loss"]
    assert point.train_loss == pytest.approx(3.0)


def test_the_main_series() -> None:
    rows = [
        {
            "step": 1,
            "eval_b_loss": 1.0,
            "eval_b_runtime": 1.0,
            "eval_a_loss": 1,
            "eval_a_runtime": 1,
        }
    ]
    signals = signals_of(rows)
    assert signals.main_series == "eval_b_loss"
    signals.context = RunContext(metric_for_best_model="a_loss")
    assert signals.main_series == "eval_a_loss"


def test_train_rows_after_a_summary_are_a_new_session() -> None:
    rows = [{"step": i, "loss": 5.0} for i in range(1, 21)]
    rows += [{"step": 20, "train_runtime": 1.0}]
    rows += [{"step": i, "loss": 1.0} for i in range(1, 21)]
    signals = signals_of(rows)
    assert signals.block_losses[-19:] == [1.0] * 19
    assert signals.last_step == 20


def test_an_evaluation_of_an_earlier_step_voids_nothing() -> None:
    rows = [{"step": i, "loss": 5.0} for i in range(1, 21)] + [{"step": 10, "eval_loss": 4.0}]
    signals = signals_of(rows)
    assert len(signals.block_losses) == 20
    assert signals.last_step == 20


def test_losses_too_large_to_add_up_are_left_out() -> None:
    rows = [{"step": i, "loss": 1e308, "epoch": math.nan} for i in range(200)]
    signals = signals_of([*rows, {"step": 200, "loss": 1.0}])
    assert signals.block_losses == [1.0]
    assert signals.epoch is None
