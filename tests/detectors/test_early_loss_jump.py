from __future__ import annotations

import random

import pytest
from logs import Row, decay, feed, fired, noisy, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Finding


def jump(to: float, first: float = 6.0, noise: float = 0.01, **constant: float) -> list[Row]:
    losses = [first, first] + [max(first - 1.0, to - 0.02 * step) for step in range(120)]
    return train_rows(noisy(losses, noise), **constant)


def test_a_jump_in_the_opening() -> None:
    finding, _ = told(jump(12.0, learning_rate=2e-3))
    assert finding.severity.label == "warning"
    assert (finding.onset_step, finding.fired_step <= 12) == (1, True)
    assert finding.causes[0].id == "learning-rate-too-high"
    assert finding.causes[0].status.name == "LIKELY"


@pytest.mark.parametrize("to", [5.5, 6.0, 6.6, 8.0])
def test_small_bumps_are_silent(to: float) -> None:
    assert "early-loss-jump" not in {name for name, *_ in fired(jump(to))}


def test_a_smaller_jump_counts_once_a_whole_period_is_as_high() -> None:
    losses = [6.0, 6.0] + [max(5.0, 8.7 - 0.005 * step) for step in range(300)]
    finding, risen = [
        f for f in feed(train_rows(noisy(losses, 0.01))) if f.name == "early-loss-jump"
    ]
    assert (finding.onset_step, 100 <= finding.fired_step <= 110) == (1, True)
    assert 200 <= risen.fired["error"] <= 220


@pytest.mark.parametrize("first_is_low", [True, False])
def test_the_saw_tooth_of_length_grouping_is_silent(first_is_low: bool) -> None:
    sign = 1.0 if first_is_low else -1.0
    teeth = [6.0 * (1 + sign * 0.5 * ((step % 50) / 50 - 0.5)) for step in range(300)]
    assert "early-loss-jump" not in {name for name, *_ in fired(train_rows(noisy(teeth, 0.02)))}


def test_a_smaller_jump_counts_at_once_where_token_accuracy_falls_with_it() -> None:
    rows = jump(8.5)
    for row in rows:
        row["mean_token_accuracy"] = 0.2 if row["step"] == 1 else 0.05
    assert "early-loss-jump" in {name for name, *_ in fired(rows)}


def test_a_log_that_goes_back_is_judged_by_what_was_done_again() -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 9.0}]
    rows += [{"step": step, "loss": 2.0 - 0.01 * step} for step in range(1, 60)]
    assert fired(rows) == []


def test_a_low_first_record_of_a_noisy_run_is_silent() -> None:
    for seed in range(40):
        draw = random.Random(seed)
        losses = [decay(step, 200, 3.0, 2.0) * draw.gauss(1.0, 0.2) for step in range(200)]
        losses[0] = 2.4
        assert "early-loss-jump" not in {name for name, *_ in fired(train_rows(losses))}


def test_a_jump_after_a_fall_is_not_in_the_opening() -> None:
    losses = [decay(step, 20) for step in range(20)] + [4.0] * 10 + [1.0] * 100
    assert "early-loss-jump" not in {name for name, *_ in fired(train_rows(losses))}


def test_a_loss_that_rises_while_tokens_are_predicted_better() -> None:
    rows = jump(9.0)
    for row in rows:
        row["mean_token_accuracy"] = min(0.6, row["step"] / 20)
    assert "early-loss-jump" not in {name for name, *_ in fired(rows)}


def test_a_first_loss_of_zero_is_no_start() -> None:
    assert fired(train_rows([0.0, 0.0, *[2.0] * 60], grad_norm=1.0, learning_rate=1e-4)) == []


def rise(height: float, warm_up: int = 50, **evaluated: float) -> list[Row]:
    """A loss that falls in the first half of the warm-up and rises in the second."""
    rows: list[Row] = []
    for step in range(1, 301):
        lost = max(0.0, 6.0 - 0.1 * step) if step <= 20 else 4.0
        risen = height * min(1.0, max(0, step - 25) / 25) * (1 - step / 1000)
        share = min(1.0, step / warm_up) * (1 - step / 400)
        rows.append({"step": step, "loss": lost + risen, "learning_rate": 1e-3 * share})
    noise = random.Random(0)
    for row in rows:
        row["loss"] *= noise.gauss(1.0, 0.02)
    for name, end in evaluated.items():
        rows += [{"step": at, name: 4.0 + (end - 4.0) * at / 300} for at in range(20, 301, 20)]
    return sorted(rows, key=lambda row: row["step"])


def told(rows: list[Row]) -> list[Finding]:
    return [f for f in feed(rows) if f.name == "early-loss-jump"]


def jumps(rows: list[Row]) -> list[int]:
    return [finding.fired["warning"] for finding in told(rows)]


def test_a_rise_while_the_rate_climbs_that_does_not_come_back() -> None:
    finding, risen = told(rise(0.8))
    assert 75 <= finding.fired["warning"] <= 110
    assert "stays up" in finding.message
    assert finding.causes[0].id == "learning-rate-too-high"
    told_at, took = finding.fired["warning"], finding.fired["warning"] - finding.onset_step
    assert 0 <= risen.fired["error"] - (told_at + took) <= 10


def test_a_rise_that_comes_back_stays_a_warning() -> None:
    rows = rise(0.8)
    for row in rows:
        row["loss"] -= 0.8 * (row["step"] > 100)
    assert [finding.severity.label for finding in told(rows)] == ["warning"]


def test_a_rise_that_took_long_to_tell_must_stay_up_as_long_again() -> None:
    rows = rise(0.8, warm_up=250)
    for row in rows:
        # Up in one half of a long block of sorted rows, and back in the next.
        row["loss"] = 3.0 + 1.2 * (row["step"] // 90 % 2) if row["step"] > 20 else row["loss"]
    (finding,) = told(rows)
    assert finding.severity.label == "warning"


def noisy_batches(back: int = 10_000, to: float = 4.2, times: int = 1) -> list[Row]:
    """A first epoch whose evaluations alone show the rise; they are at ``to`` from ``back`` on.

    ``times`` stretches the run.
    """
    noise = random.Random(0)
    rows = [{**row, "step": row["step"] * times} for row in rise(0.8, warm_up=100)]
    for row in rows:
        row["loss"] = (4.0 + min(1.0, row["step"] / times / 100)) * noise.gauss(1.0, 0.3)
    for step in range(10 * times, 300 * times + 1, 10 * times):
        up = min(5.0, 4.0 + abs(step / times - 40) * 0.01)
        rows.append({"step": step, "eval_loss": up if step < back else to})
    rows.sort(key=lambda row: row["step"])
    return [{**row, "epoch": row["step"] / times / 300} for row in rows]


def test_evaluations_of_the_first_epoch_show_it_where_the_batches_are_too_noisy() -> None:
    rows = noisy_batches()
    finding = told(rows)[0]
    assert (finding.series, finding.onset_step) == ("eval_loss", 40)
    again = [{**row, "epoch": row["epoch"] * 10} for row in rows]
    assert told(again) == []
    learning = [{**row, "loss": 6 - row["step"] / 100} if "loss" in row else row for row in rows]
    assert told(learning) == []


def test_evaluations_that_stay_up_for_two_periods_are_an_error() -> None:
    finding, risen = told(noisy_batches())
    assert risen.fired == {**finding.fired, "error": finding.fired["warning"] + 100}
    before = finding.fired["warning"] + 90
    (came_back,) = told(noisy_batches(before))
    assert came_back.fired == finding.fired
    assert len(told(noisy_batches(before, to=4.3))) == 2


def test_evaluations_must_stay_up_as_long_as_it_took_to_tell() -> None:
    finding, risen = told(noisy_batches(times=4))
    took = finding.fired["warning"] - finding.onset_step
    assert took > 100
    assert risen.fired == {**finding.fired, "error": finding.fired["warning"] + took}


def test_what_healthy_runs_do_at_the_peak_of_the_rate_is_silent() -> None:
    assert jumps(rise(0.3)) == []


def test_a_rise_after_the_warm_up_is_not_the_rate_s() -> None:
    assert jumps(rise(0.8, warm_up=10)) == []


def test_an_evaluation_that_still_falls_speaks_against_the_rate() -> None:
    assert jumps(rise(0.8, eval_loss=3.5)) == []
    assert jumps(rise(0.8, eval_loss=4.8)) != []


def test_a_jump_that_is_quiet_needs_seven_records() -> None:
    losses = [3.0, 4.9, 5.0, 4.95, 4.9, 4.9, 4.85, 4.8, 4.8, 4.75]
    (finding,) = told(train_rows(losses, learning_rate=1e-2))
    assert (finding.severity.label, finding.fired_step) == ("warning", 7)


@pytest.mark.parametrize("evaluated", [True, False])
def test_a_leap_becomes_an_error_by_evaluations_or_by_most_of_the_plan(evaluated: bool) -> None:
    rows: list[Row] = []
    for row in train_rows([2.0, 2.0, 2.1, *[9.0 - 0.05 * step for step in range(60)]]):
        rows.append(row)
        if evaluated and row["step"] % 5 == 0:
            rows.append({"step": row["step"], "eval_loss": row["loss"]})
    *_, risen = [f for f in feed(rows, RunContext(max_steps=80)) if f.code == "SFT109"]
    assert risen.fired == {"warning": 6, "error": 15 if evaluated else 46}


def test_a_first_row_below_evaluations_that_fall_was_low_by_chance() -> None:
    rows: list[Row] = []
    for row in train_rows([0.4, *[0.7 + 0.002 * step for step in range(30)]]):
        rows.append(row)
        rows.append({"step": row["step"], "eval_loss": 0.8 - 0.002 * row["step"]})
    assert told(rows) == []


AT_RANDOM = RunContext(sampler="random", train_samples=1000, max_steps=125)


def above_the_start(back: int = 10_000, evaluated: float = 6.0) -> list[Row]:
    """A loss that falls in the warm-up, and from its peak on stands above where it began."""
    noise = random.Random(0)
    rows: list[Row] = []
    for step in range(1, 126):
        level = 5.0 - 0.2 * min(step, 6) if step <= 10 else min(6.2, 4.0 + 0.4 * (step - 10))
        level = 4.0 if step >= back else level
        rate = 3e-3 * min(1.0, step / 13) * (1 - step / 1000)
        rows.append({"step": step, "loss": level * noise.gauss(1, 0.06), "learning_rate": rate})
        if step % 12 == 0:
            rows.append({"step": step, "eval_loss": 4.9 if step == 12 else evaluated})
    return rows


def of_jumps(rows: list[Row], context: RunContext) -> list[Finding]:
    return [found for found in feed(rows, context) if found.code == "SFT109"]


def test_rows_at_random_show_within_a_window_that_more_is_lost_than_was_learned() -> None:
    *_, risen = of_jumps(above_the_start(), AT_RANDOM)
    assert (risen.fired["warning"] <= 26, risen.fired["error"]) == (True, 36)
    assert risen.causes[0].id == "learning-rate-too-high"


@pytest.mark.parametrize(
    "context",
    [
        AT_RANDOM.replace(sampler="sequential"),
        AT_RANDOM.replace(sampler="group_by_length"),
        AT_RANDOM.replace(train_samples=None),
        RunContext(max_steps=125),
    ],
)
def test_rows_whose_order_may_explain_it_are_waited_for(context: RunContext) -> None:
    fired = [found.fired["warning"] for found in of_jumps(above_the_start(), context)]
    assert min(fired, default=200) > 50


def test_a_rise_above_the_start_that_comes_back_is_no_error() -> None:
    seen = of_jumps(above_the_start(back=30, evaluated=4.2), AT_RANDOM)
    assert [found.severity.label for found in seen if found.severity.label == "error"] == []


def test_an_evaluation_that_did_not_rise_makes_no_error_of_it() -> None:
    """The evaluation rows are harder, and were as hard before."""
    before = [{"step": 0, "eval_loss": 6.5}]
    seen = of_jumps(before + above_the_start(evaluated=6.4), AT_RANDOM)
    assert [found for found in seen if found.fired.get("error", 200) <= 60] == []
