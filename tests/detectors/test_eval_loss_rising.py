from __future__ import annotations

import random

import pytest
from logs import Row, decay, feed, fired, healthy, overfitting

from sftdiag.context import RunContext
from sftdiag.monitor import Monitor
from sftdiag.signals.stream import MAX_SERIES


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
    rows = evaluations([1.0, 1.2, 1.4], train=[2.0, 1.9, 1.8])
    told = fired(rows, RunContext(max_steps=rows[-1]["step"]))
    assert ("eval-loss-rising", "warning", 32) in told
    assert fired(rows, RunContext(max_steps=10_000)) == []


@pytest.mark.parametrize(
    "losses", [[1.0, 1.2, 1.4, 1.6], [2.0, 1.0, 1.2, 1.3], [2.0, 1.5, 1.0, 1.3, 1.3]]
)
def test_few_evaluations(losses: list[float]) -> None:
    assert [name for name, *_ in fired(evaluations(losses))] == ["eval-loss-rising"]


def test_few_evaluations_that_have_mostly_come_back_are_no_rise() -> None:
    # Rows: an evaluation each, and a train loss of one batch, which no one can tell from a fall.
    train = [0.0205, 0.671, 0.5961, 0.0167, 0.0007]
    assert fired(evaluations([0.246, 0.196, 0.266, 0.217, 0.2095], train, every=1)) == []
    (told, _, _), *_ = fired(evaluations([0.246, 0.196, 0.217, 0.266, 0.27], train, every=1))
    assert told == "eval-loss-rising"


def test_a_climb_of_three_evaluations_takes_rows_that_are_learned_by_heart() -> None:
    train = [1.1, 0.55, 0.2]
    told = fired(evaluations([1.2, 1.25, 1.45], train))
    assert [(name, severity) for name, severity, _ in told] == [("eval-loss-rising", "warning")]
    assert fired(evaluations([1.2, 1.25, 1.3], train)) == []
    assert fired(evaluations([1.2, 1.21, 1.45], train)) == []
    assert fired(evaluations([1.2, 1.25, 1.45], [1.1, 1.0, 0.9])) == []


def test_rows_that_fall_from_one_to_the_next_are_no_noise() -> None:
    """Three epochs of a classifier, two or three train rows each."""
    rows: list[Row] = [
        {"step": step, "loss": loss}
        for step, loss in zip(
            range(50, 351, 50), [0.476, 0.294, 0.217, 0.176, 0.131, 0.0991, 0.1001], strict=True
        )
    ]
    for step, loss in ((125, 0.256), (250, 0.281), (375, 0.32)):
        rows.append({"step": step, "eval_loss": loss})
    rows.sort(key=lambda row: row["step"])
    told = fired(rows, RunContext(max_steps=375))
    assert told == [("eval-loss-rising", "warning", 375)]
    rows[-1]["eval_loss"] = 0.295
    assert fired(rows, RunContext(max_steps=375)) == []


def test_two_evaluations_far_above_the_best_are_waited_for_by_no_plan() -> None:
    """With a row an evaluation, as in a table of epochs."""
    assert fired(evaluations([1.0, 1.5, 2.1], [0.6, 0.4, 0.3], every=1)) != []
    assert fired(evaluations([1.0, 1.5, 2.1], [0.6, 0.62, 0.64], every=1)) == []


@pytest.mark.parametrize("lucky", [0.3, 0.45])
def test_one_lucky_train_row_beside_the_best_hides_no_fall(lucky: float) -> None:
    losses = [0.30, 0.27, 0.42, 0.30, 0.28, 0.33, 0.40, 0.39, 0.41, 0.44]
    train = [0.92, lucky, 0.50, 0.46, 0.31, 0.37, 0.18, 0.18, 0.09, 0.17]
    assert [n for n, *_ in fired(evaluations(losses, train, every=1))] == ["eval-loss-rising"]
    risen = [0.92, lucky, 0.50, 0.46, 0.48, 0.47, 0.48, 0.52, 0.49, 0.55]
    assert fired(evaluations(losses, risen, every=1)) == []


def test_a_large_rise_within_the_noise_of_one_is_a_warning_where_many_show_it() -> None:
    losses = [0.29, 0.32, 0.33, 0.28, 0.34, 0.34, 0.37, 0.37, 0.40, 0.39, 0.38, 0.39, 0.39, 0.38]
    train = [0.15, 0.12, 0.11, 0.13, 0.06, 0.06, 0.06, 0.1, 0.04, 0.05, 0.06, 0.07, 0.05, 0.04]
    losses, train = [*losses, 0.375, 0.38], [*train, 0.03, 0.02]
    told = fired(evaluations(losses, train, every=1))
    assert ("eval-loss-rising", "warning") in {(name, severity) for name, severity, _ in told}


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 1.04, 1.045, 1.05],
        [2.0, 1.0, 1.3, 0.9],
        [2.0, 1.5, 1.2, 1.0, 1.3],
    ],
)
def test_few_evaluations_that_do_not_say_enough(losses: list[float]) -> None:
    assert fired(evaluations(losses)) == []


@pytest.mark.parametrize(
    "losses",
    [
        [1.2, 1.22, 1.241, 1.26, 1.281],  # best at the first of five, and no decrease at all
        [1.3, 1.2, 1.218, 1.236, 1.254, 1.272],
        [1.5, 1.3, 1.2, 1.216, 1.231, 1.245, 1.262],
    ],
)
def test_rises_of_some_percent_far_beyond_the_evaluations_own_noise(losses: list[float]) -> None:
    assert [name for name, *_ in fired(evaluations(losses))] == ["eval-loss-rising"]
    both = evaluations(losses, train=losses)
    assert "eval-loss-rising" not in [name for name, *_ in fired(both)]


def test_so_small_a_rise_within_their_noise_is_silent() -> None:
    for losses in ([1.2, 1.25, 1.235, 1.27, 1.24], [1.3, 1.2, 1.26, 1.21, 1.25, 1.24]):
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


def with_rate(rows: list[Row], peak_share: float) -> list[Row]:
    """Return the log with a learning rate that falls to this share of its peak over 200 steps."""
    for row in rows:
        if "loss" in row:
            row["learning_rate"] = 1e-4 * (1 - (1 - peak_share) * row["step"] / 200)
    return rows


def test_a_rise_that_the_decay_ahead_could_take_back_stays_a_warning() -> None:
    losses = [2.0, 1.8, 1.6, 1.5, *(1.5 + 0.13 * min(1.0, i / 4) for i in range(1, 14))]
    train = [2.0 - 0.03 * i for i in range(len(losses))]
    context = RunContext(lr_scheduler_type="linear")
    ahead = with_rate(evaluations(losses, train), 0.9)
    assert {severity for _, severity, _ in fired(ahead, context)} == {"warning"}
    over = with_rate(evaluations(losses, train), 0.1)
    assert {severity for _, severity, _ in fired(over, context)} == {"warning", "error"}


def test_a_rise_beyond_any_decay_is_an_error_at_the_peak_of_the_rate() -> None:
    losses = [2.0, 1.8, 1.6, 1.5, *(1.5 + 0.06 * i for i in range(1, 9))]
    rows = with_rate(evaluations(losses), 0.95)
    found = fired(rows, RunContext(lr_scheduler_type="cosine"))
    assert [severity for _, severity, _ in found] == ["warning", "error"]
    evaluated = [row["step"] for row in rows if "eval_loss" in row]
    assert found[1][2] <= evaluated[3 + 5]


def test_an_error_takes_a_sure_fall_of_the_train_loss() -> None:
    losses = [2.0, 1.8, 1.6, 1.5, *(1.5 + 0.16 * min(1.0, i / 4) for i in range(1, 7))]
    rows = evaluations(losses, [2.0 * 0.985**i for i in range(len(losses))])
    assert {severity for _, severity, _ in fired(rows)} == {"warning", "error"}
    for index, row in enumerate(row for row in rows if "loss" in row):
        row["loss"] *= 1.02 if index % 2 else 0.98
    assert {severity for _, severity, _ in fired(rows)} == {"warning"}


def test_an_error_takes_an_evaluation_less_where_the_train_loss_has_clearly_fallen() -> None:
    losses = [3.0, 2.4, 2.0, 1.8, 1.7, 1.6, *(1.6 + 0.1 * i for i in range(1, 6))]
    steps = []
    for factor in (0.985, 0.9):
        rows = evaluations(losses, [2.0 * factor**i for i in range(len(losses))])
        errors = [step for _, severity, step in fired(rows) if severity == "error"]
        evaluated = [row["step"] for row in rows if "eval_loss" in row]
        steps.append(evaluated.index(errors[0]) - 5)
    assert steps[0] - steps[1] == 1


def test_less_evidence_is_enough_where_the_train_loss_collapses() -> None:
    draw = random.Random(39)
    falling = [1.5 + 0.5 * 0.7**i for i in range(8)]
    losses = [loss + draw.gauss(0, 0.02) for loss in [*falling, 1.58, *[1.66] * 7]]

    def severities(factor: float) -> set[str]:
        train = [4.5 - 0.1 * i for i in range(8)] + [3.8 * factor**i for i in range(1, 9)]
        return {severity for _, severity, _ in fired(evaluations(losses, train))}

    assert "error" not in severities(0.95)
    assert "error" in severities(0.6)


def test_a_rise_that_is_only_foreseen_is_no_error_however_far_the_train_loss_fell() -> None:
    losses = [2.0, 1.8, 1.7, 1.65, 1.62, 1.6, *(1.6 + 0.01 * i for i in range(1, 6))]
    rows = evaluations(losses, [2.0] * 6 + [2.0 * 0.8**i for i in range(1, 6)])
    assert [s for _, s, _ in fired(rows, RunContext(max_steps=2_000))] == ["warning"]


def test_rows_learned_by_heart_are_an_error_sooner_while_half_of_the_plan_is_left() -> None:
    losses = [2.0, 1.8, 1.7, 1.65, 1.62, 1.6, *(1.6 + 0.02 * i for i in range(1, 9))]
    rows = evaluations(losses, [2.0] * 6 + [2.0 * 0.8**i for i in range(1, 9)])
    long, short = (fired(rows, RunContext(max_steps=planned)) for planned in (400, 150))
    errors = [next(at for _, label, at in found if label == "error") for found in (long, short)]
    assert errors[1] - errors[0] == 22


def test_what_a_decay_could_take_back_shrinks_with_the_train_loss() -> None:
    losses = [2.0, 1.8, 1.6, 1.5, *(1.5 + 0.13 * min(1.0, i / 4) for i in range(1, 14))]
    learned = [2.0 * 0.8**i for i in range(len(losses))]
    rows = with_rate(evaluations(losses, learned), 0.9)
    found = fired(rows, RunContext(lr_scheduler_type="linear"))
    assert {severity for _, severity, _ in found} == {"warning", "error"}


def test_two_evaluations_are_enough_where_the_train_loss_has_clearly_fallen() -> None:
    losses = [3.0, 2.4, 2.0, 1.8, 1.7, 1.6, 1.68, 1.76, 1.84, 1.92]
    clear = evaluations(losses, [2.0 * 0.85**i for i in range(10)])
    little = evaluations(losses, [2.0 * 0.985**i for i in range(10)])
    evaluated = [row["step"] for row in clear if "eval_loss" in row]
    assert fired(clear)[0][2] == evaluated[8]
    assert fired(little)[0][2] == evaluated[9]


def steady_rise(size: float, evaluations_left: int) -> list[Row]:
    """Return a log whose eval loss rises by ``size`` an evaluation, ten times, after ten falls."""
    draw = random.Random(1)
    losses = [1.5 + 0.05 * (10 - i) for i in range(11)]
    losses += [1.5 * (1 + size * i) for i in range(1, 10)]
    losses += [losses[-1]] * evaluations_left
    noisy = [loss * draw.gauss(1, 0.002) for loss in losses]
    return evaluations(noisy, [2.0 * 0.96**i for i in range(len(losses))])


def test_a_steady_rise_is_told_before_it_is_large_when_the_plan_leaves_it_time() -> None:
    rows = steady_rise(0.004, 0)
    evaluated = [row["step"] for row in rows if "eval_loss" in row]
    long = fired(rows, RunContext(max_steps=3 * rows[-1]["step"]))
    assert [severity for _, severity, _ in long] == ["warning"]
    assert long[0][2] <= evaluated[10 + 6]
    short = fired(rows, RunContext(max_steps=rows[-1]["step"]))
    assert not short or short[0][2] > evaluated[10 + 7]


def test_a_step_up_at_an_epochs_edge_is_no_steady_rise() -> None:
    draw = random.Random(2)
    losses = [(1.5 + 0.05 * (10 - i)) for i in range(11)] + [1.5 * 1.02] * 12
    rows = evaluations(
        [loss * draw.gauss(1, 0.001) for loss in losses], [2.0 * 0.96**i for i in range(23)]
    )
    assert fired(rows, RunContext(max_steps=10 * rows[-1]["step"])) == []


def test_few_evaluations_are_enough_where_the_train_loss_collapses() -> None:
    losses = [3.56, 3.75, 3.92, 4.19]
    rows = evaluations(losses, [3.2, 2.0, 1.2, 0.6])
    context = RunContext(max_steps=rows[-1]["step"] * 10 // 4)
    third, fourth = [row["step"] for row in rows if "eval_loss" in row][2:]
    name = "eval-loss-rising"
    assert fired(rows, context) == [(name, "error", third)]
    slower = evaluations([3.56, 3.72, 3.92, 4.19], [3.2, 2.0, 1.2, 0.6])
    assert fired(slower, context)[-1] == (name, "error", fourth)
    assert (name, "error", third) not in fired(slower, context)
    late = RunContext(max_steps=rows[-1]["step"] * 5 // 4)
    assert "error" not in {severity for _, severity, _ in fired(rows, late)}
    assert fired(evaluations(losses, [3.2, 3.1, 3.0, 2.9]), context) == []


def test_steps_up_at_the_epochs_edges_are_no_noise_where_the_train_loss_collapses() -> None:
    losses = [2.3, 2.1, 2.03, 2.06, 2.12, 2.09, 2.22, 2.18, 2.45, 2.46]
    rows = evaluations(losses, [2.4, 2.1, 2.0, 2.0, 2.0, 1.4, 1.3, 1.3, 0.8, 0.8])
    context = RunContext(max_steps=4 * rows[-1]["step"])
    assert fired(rows, context) == [("eval-loss-rising", "error", rows[-1]["step"])]


def test_a_bump_that_the_train_loss_leaves_first_is_coming_back() -> None:
    # Batch size 1: both losses rise to the learning rate's peak; the second epoch's rows are known.
    losses = [5.1, 4.5, 4.5, 4.7, 4.9, 5.0, 5.05, 4.95, 4.95, 4.9, 4.9, 4.85]
    losses += [4.8, 4.77, 4.74, 4.72, 4.71, 4.69, 4.66, 4.65, 4.64, 4.62, 4.6, 4.58]
    train = [5.6, 4.3, 4.3, 4.6, 4.9, 5.0, 5.0, 4.9, 4.9, 4.9, 4.8, 4.8] + [2.7] * 12
    assert "eval-loss-rising" not in {name for name, *_ in fired(evaluations(losses, train))}


def test_a_first_train_row_that_holds_the_descent_is_no_fall_of_the_train_loss() -> None:
    # Logged every 20 steps: the row before the best evaluation averages the run's first losses.
    losses = [4.0, 4.12, 4.18, 4.2, 4.2, 4.19, 4.18, 4.17, 4.1, 4.0, 3.9, 3.8]
    train = [5.3, 4.1, 4.15, 4.2, 4.2, 4.2, 4.18, 4.15, 4.1, 4.0, 3.9, 3.8]
    assert fired(evaluations(losses, train, every=1)) == []


def test_evaluations_more_often_than_rows() -> None:
    rows = [
        row
        for row in overfitting(turn=70, every=10, rise=0.008)
        if "eval_loss" in row or row["step"] % 25 == 0
    ]
    assert {severity for _, severity, _ in fired(rows)} == {"warning", "error"}
    bump = [2.0, 1.6, 1.7, 1.75, 1.75, 1.7, 1.65, 1.62, 1.6, 1.5, 1.3, 1.2]
    rows = evaluations(bump, bump, every=1)
    assert fired([r for i, r in enumerate(rows) if "eval_loss" in r or i % 3 == 0]) == []


def test_a_curved_descent_is_no_noise() -> None:
    losses = [9.7, 6.0, 4.6, 4.1, 3.9, 3.8, 3.85, 4.0, 4.15, 4.3, 4.45]
    rows = evaluations(losses, [9.0 * 0.8**i for i in range(11)])
    evaluated = [row["step"] for row in rows if "eval_loss" in row]
    assert fired(rows)[0][2] <= evaluated[8]


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


@pytest.mark.parametrize(
    ("metric", "worst"),
    [(None, "error"), ("loss", "error"), ("eval_loss", "error"), ("eval_f1", "warning")],
)
def test_a_run_that_is_chosen_by_another_metric_is_not_called_wasted(
    metric: str | None, worst: str
) -> None:
    changes = feed(overfitting(rise=0.01), RunContext(metric_for_best_model=metric))
    assert changes[-1].severity.label == worst


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


def test_steps_after_the_note_are_counted() -> None:
    rows: list[Row] = []
    noise = random.Random(1)
    for epoch, eval_loss in enumerate([1.9, 1.8, 2.1, 2.4, 2.8]):
        for index in range(40):
            loss = 2.0 - 0.3 * epoch + 0.01 * noise.gauss(0, 1)
            rows.append({"step": len(rows) + 1, "epoch": epoch + index / 40, "loss": loss})
        rows.append({"step": rows[-1]["step"], "epoch": epoch + 1.0, "eval_loss": eval_loss})
    changes = feed(rows)
    assert changes[0].name == "epoch-staircase"
    assert changes[-1].name == "eval-loss-rising"
    assert changes[-1].evidence["edges"] == 3


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


def test_a_train_loss_that_has_nothing_left_to_fall_is_no_excuse() -> None:
    """Known by heart before the first evaluation, whose loss then rises and rises."""
    losses = [6.2, 8.6, 11.7, 13.0, 14.0, 14.5, 15.0]
    found = fired(evaluations(losses, train=[0.001] * 7))
    assert ("eval-loss-rising", "warning") in [(name, severity) for name, severity, _ in found]


def test_a_rise_of_next_to_nothing_is_none() -> None:
    """Of copies of the prompt: a large share of a loss near 0."""
    losses = [0.0085, 0.0038, 0.0032, 0.0036, 0.0037, 0.0018]
    found = fired(evaluations(losses, train=[0.25, 0.004, 0.002, 0.0015, 0.001, 0.0008]))
    assert [name for name, _, _ in found if name == "eval-loss-rising"] == []


@pytest.mark.parametrize("seed", range(5))
def test_a_small_rise_within_the_noise_of_one_is_told_where_many_show_it(seed: int) -> None:
    draw = random.Random(seed)
    flat = [1.9 * (1 + draw.gauss(0, 0.005)) for _ in range(100)]
    creeping = [loss * (1 + 0.02 * place / 99) for place, loss in enumerate(flat)]
    assert [name for name, *_ in fired(evaluations(creeping))][:1] == ["eval-loss-rising"]
    assert not fired(evaluations(flat))


@pytest.mark.parametrize(
    ("train", "told"),
    [([0.08, 0.024, 0.007, 0.0005], True), ([0.018, 0.022, 0.019, 0.0195], False)],
)
def test_a_row_an_evaluation_is_no_noise_where_rows_are_known_by_heart(
    train: list[float], told: bool
) -> None:
    """A train loss that falls to a fraction from row to row looks noisy by its differences."""
    rows: list[Row] = []
    for number, (loss, evaluated) in enumerate(
        zip(train, [0.30, 0.31, 0.37, 0.40], strict=True), 1
    ):
        rows.append({"step": 1000 * number, "loss": loss})
        rows.append({"step": 1000 * number, "eval_loss": evaluated})
    assert bool(fired(rows)) == told


def test_a_train_loss_of_zero_beside_an_evaluation_below_it() -> None:
    rows: list[Row] = []
    for step, evaluated in enumerate([-1e30, 0.0, 0.0, 0.0], 1):
        rows.append({"step": step, "loss": 0.0, "grad_norm": 0.0})
        rows.append({"step": step, "eval_loss": evaluated})
    assert "eval-loss-rising" not in {name for name, *_ in fired(rows)}


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([1.5, 1.3, 1.2, 1.22, 1.3, 1.4, 1.5, 1.62, 1.7], ["warning"]),
        ([1.5, 1.2, 1.4, 1.6], ["warning"]),
        ([1.5, 1.3, 1.2, 1.15, 1.12, 1.1, 1.09, 1.085, 1.08], []),
        ([1.5, 1.3, 1.2, 1.21, 1.19, 1.2, 1.21, 1.2, 1.19], []),
        ([1.5, 1.2, 1.25, 1.21], []),
    ],
)
def test_a_log_without_a_train_loss_shows_a_rise_all_the_same(
    losses: list[float], found: list[str]
) -> None:
    """Never an error: what the train loss did is unknown, and told to be."""
    monitor = Monitor(RunContext(max_steps=100 * len(losses)))
    for step, loss in enumerate(losses, start=1):
        monitor.feed_entry({"step": 100 * step, "epoch": step / 2, "eval_loss": loss})
    findings = [each for each in monitor.report().findings if each.code == "SFT201"]
    assert [each.severity.label for each in findings] == found
    for each in findings:
        assert any("no train loss" in text for text in each.causes[0].missing)
