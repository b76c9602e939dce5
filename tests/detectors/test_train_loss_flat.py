from __future__ import annotations

import random

import pytest
from logs import Row, decay, feed, fired, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.monitor import Monitor

ADAMW = RunContext(optim="adamw_torch")
"""Steps all at once: its gradient norm of 0 is a proof."""


def flat(level: float, noise: float = 0.01, rows: int = 60, **constant: float) -> list[Row]:
    return train_rows(noisy([level] * rows, noise), **constant)


@pytest.mark.parametrize(
    ("rows", "sign"),
    [
        (flat(11.3, learning_rate=2e-5), "chance_loss"),
        (flat(2.0, learning_rate=1e-8, grad_norm=1.0), "tiny_learning_rate"),
        (flat(2.0, rows=300, learning_rate=2e-5, grad_norm=0.0), "zero_grad_norm"),
        (flat(2.0, learning_rate=2e-5, grad_norm=1e7), "huge_grad_norm"),
        (
            flat(3.0, learning_rate=2e-5, mean_token_accuracy=0.1, entropy=2.0),
            "low_token_accuracy",
        ),
    ],
)
def test_flat_with_a_sign_that_it_should_not_be(rows: list[Row], sign: str) -> None:
    (finding,) = feed(rows)
    assert (finding.name, finding.severity.label) == ("train-loss-flat", "error")
    assert sign in finding.evidence
    assert finding.onset_step == 1


@pytest.mark.parametrize("optim", ["lomo", "adalomo", "galore_adamw_layerwise"])
def test_a_norm_of_0_says_nothing_where_weights_are_stepped_within_backward(optim: str) -> None:
    rows = flat(2.0, learning_rate=2e-5, grad_norm=0.0, rows=8)
    assert [name for name, *_ in fired(rows, ADAMW)] == ["train-loss-flat"]
    assert not fired(rows, RunContext(optim=optim))
    report = report_of(flat(11.3, learning_rate=2e-5, grad_norm=0.0), RunContext(optim=optim))
    (finding,) = report.findings
    assert finding.evidence["grad_norm"] is None
    assert "zero_grad_norm" not in finding.evidence


def test_a_decisive_sign_needs_few_records() -> None:
    assert fired(flat(3.7, noise=0.002, rows=6, learning_rate=1e-7)) == [
        ("train-loss-flat", "error", 4)
    ]


@pytest.mark.parametrize(("first", "told"), [(1, True), (2900, False)])
def test_the_end_of_a_schedule_is_no_rate_too_low(first: int, told: bool) -> None:
    """A log that begins in mid-run does not show its peak rate."""
    rows = flat(2.3, noise=0.1, rows=15)
    for number, row in enumerate(rows):
        row.update(step=first + 10 * number, learning_rate=3e-7 * (1 - number / 16))
    assert bool(fired(rows)) == told


@pytest.mark.parametrize(
    ("evaluated", "told"),
    [
        ([0.6123] * 4, True),
        ([0.6123, 0.6121, 0.6123, 0.6122], False),
        ([0.7, 0.65, 0.61, 0.6], False),
    ],
)
def test_evaluations_equal_to_the_last_digit_beside_a_noisy_loss(
    evaluated: list[float], told: bool
) -> None:
    """No weight that is evaluated has moved, whatever the train loss of one row an epoch does."""
    rows: list[Row] = []
    for epoch, (train, loss) in enumerate(zip([0.3, 0.2, 0.4, 0.1], evaluated, strict=True), 1):
        rows.append({"step": 250 * epoch, "epoch": epoch, "loss": train})
        rows.append({"step": 250 * epoch, "epoch": epoch, "eval_loss": loss})
    assert ("train-loss-flat" in [name for name, *_ in fired(rows)]) == told


@pytest.mark.parametrize("level", [0.5, 1.2, 2.5, 4.4])
def test_a_flat_loss_is_a_warning_by_itself(level: float) -> None:
    """Over 337 labelled public runs none that learns moves so little."""
    rows = flat(level, noise=0.03, rows=300, learning_rate=2e-5, grad_norm=1.0)
    (finding,) = feed(rows, RunContext(max_steps=300))
    assert (finding.name, finding.severity.label) == ("train-loss-flat", "warning")
    assert ("Either" in finding.message) == (level == 0.5)


@pytest.mark.parametrize(
    ("rows", "noise", "told"),
    [(10, 1e-4, True), (10, 0.03, False), (50, 0.003, True), (200, 0.02, True), (5, 1e-4, True)],
)
def test_few_rows_are_no_reason_their_noise_is(rows: int, noise: float, told: bool) -> None:
    log = flat(2.0, noise=noise, rows=rows, learning_rate=2e-5)
    assert bool(fired(log, RunContext(max_steps=rows))) == told


def test_what_cannot_be_told_from_noise_is_not_healthy() -> None:
    rows = flat(2.0, noise=0.1, rows=10, learning_rate=2e-5)
    for row in rows:
        row["step"] *= 10
    report = report_of(rows, RunContext(max_steps=100))
    assert report.verdict == "inconclusive"
    assert "logging_steps=1" in (report.reason or "")


def test_a_floor_where_most_tokens_are_predicted_is_not_judged() -> None:
    rows = flat(0.2, rows=200, learning_rate=2e-5, mean_token_accuracy=0.92, entropy=0.2)
    monitor = Monitor(RunContext(max_steps=200))
    for row in rows:
        assert monitor.feed_entry(row) == ()
    report = monitor.report()
    assert report.verdict == "inconclusive"
    assert "knew these rows" in (report.reason or "")


@pytest.mark.parametrize(("moved", "severity"), [(0.0, "error"), (0.002, "warning"), (0.01, None)])
def test_evaluations_tell_it_where_the_train_loss_cannot(
    moved: float, severity: str | None
) -> None:
    rows: list[Row] = []
    for row in flat(2.0, noise=0.2, rows=100, learning_rate=2e-5):
        rows.append(row)
        if row["step"] % 10 == 0:
            loss = 1.9 * (1 - moved * row["step"] / 100)
            rows.append({"step": row["step"], "epoch": row["epoch"], "eval_loss": loss})
    found = [f for f in feed(rows, RunContext(max_steps=100)) if f.resolved_step is None]
    assert [f.severity.label for f in found] == ([severity] if severity else [])
    assert all("evaluations" in f.message for f in found)


def test_a_rate_of_zero_is_an_error_at_the_third_row() -> None:
    rows = flat(4.3, rows=12, learning_rate=0.0)
    assert fired(rows)[0] == ("train-loss-flat", "error", 3)
    (finding,) = feed(rows[:5])
    assert finding.causes[0].id == "quantization-or-dtype"
    assert "learning-rate-too-low" not in {cause.id for cause in finding.causes}
    (finding,) = feed(rows[:5], RunContext(learning_rate=0.0))
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("schedule", "CONFIRMED")
    lost = [{**row, "loss": float("nan")} for row in rows]
    assert fired(lost)[0][0] == "non-finite"


def test_a_schedule_that_is_over_early() -> None:
    losses = noisy([decay(step, 100) for step in range(100)], 0.01)
    rows = train_rows(losses)
    for row in rows:
        row["learning_rate"] = 1e-4 * max(0.0, 1 - row["step"] / 60)
    assert fired(rows, RunContext(max_steps=100)) == [("train-loss-flat", "warning", 61)]
    assert fired(rows, RunContext(max_steps=62)) == []


@pytest.mark.parametrize("epochs", [2, 4, 18])
def test_losses_that_repeat_from_epoch_to_epoch(epochs: int) -> None:
    epoch = [0.9741, 1.3742, 1.239, 0.967, 1.0386, 1.1681, 1.224, 0.961]
    rows = train_rows(epoch * epochs, learning_rate=1e-4)
    for row in rows:
        row["epoch"] = row["step"] / 8
    found = fired(rows, RunContext(max_steps=8 * epochs))
    assert found[0] == ("train-loss-flat", "error", 13)
    assert "to the last digit" in feed(rows)[0].message
    moved = [{**row, "loss": row["loss"] * 0.99 ** row["epoch"]} for row in rows]
    assert fired(moved, RunContext(max_steps=8 * epochs)) == []


def test_the_vocabulary_moves_the_bar() -> None:
    rows = flat(4.0, learning_rate=1e-4)
    assert fired(rows) == []
    assert fired(rows, RunContext(vocab_size=384)) != []


def test_a_loss_that_falls_slowly_is_not_flat() -> None:
    losses = noisy([11.0 - 0.02 * step for step in range(200)], 0.01)
    assert fired(train_rows(losses, learning_rate=2e-5)) == []


def test_a_rise_is_not_flat() -> None:
    losses = noisy([6.0 + 0.02 * step for step in range(200)], 0.01)
    names = {name for name, *_ in fired(train_rows(losses, learning_rate=2e-5))}
    assert names == {"loss-divergence"}


def test_nothing_is_said_while_the_rate_climbs() -> None:
    rows = flat(11.3, rows=40)
    for row in rows:
        row["learning_rate"] = 1e-9 * row["step"]
    assert fired(rows) == []


def test_a_rate_below_every_range_needs_no_long_look_after_the_warm_up() -> None:
    for peak, told in ((1e-7, True), (2e-5, False)):
        rows = flat(11.3, noise=0.002, rows=24)
        for row in rows:
            row["learning_rate"] = peak * min(1.0, row["step"] / 20)
        found = fired(rows)
        assert bool(found) == told
        assert not told or found[0][2] <= 23


def test_nothing_is_said_in_the_first_tenth_of_the_plan() -> None:
    rows = flat(11.3, rows=60, learning_rate=2e-5)
    assert fired(rows, RunContext(max_steps=10_000)) == []
    assert fired(rows, RunContext(max_steps=300)) != []


def test_learning_that_the_loss_does_not_show() -> None:
    """DFT's loss does not fall while token accuracy rises."""
    rows = flat(6.0, learning_rate=2e-5)
    for row in rows:
        row["mean_token_accuracy"] = 0.1 + row["step"] / 100
    assert fired(rows) == []
    rows = flat(6.0, learning_rate=2e-5)
    rows.insert(5, {"step": 5, "eval_loss": 6.0})
    rows.insert(15, {"step": 14, "eval_loss": 5.0})
    assert fired(rows) == []


def test_a_loss_that_falls_and_sticks_is_a_warning() -> None:
    losses = noisy([decay(min(step, 40), 40, 9.0, 7.4) for step in range(200)], 0.002)
    (finding,) = feed(train_rows(losses, learning_rate=2e-5, grad_norm=0.2))
    assert finding.severity.label == "warning"
    assert "stuck" in finding.message


def test_a_summed_loss_that_has_settled_is_not_stuck() -> None:
    """Train losses not divided by the accumulation steps: high, flat at the end, and fine."""
    losses = noisy([decay(min(step, 40), 40, 9.0, 7.4) for step in range(200)], 0.002)
    assert fired(train_rows(losses, learning_rate=2e-5, grad_norm=8.0)) == []
    assert fired(train_rows(losses, learning_rate=2e-5)) == []
    rows = train_rows([20.0, *losses], learning_rate=2e-5, grad_norm=0.2)
    rows += [{"step": rows[-1]["step"], "eval_loss": 0.9}]
    assert [name for name, *_ in fired(rows[:-1])] == ["train-loss-flat"]
    rows = [rows[-1] | {"step": 20}, *rows[20:]]
    assert all(f.severity.label == "warning" and "stuck" not in f.message for f in feed(rows))


def test_a_level_above_every_vocabulary_is_another_fault() -> None:
    found = feed(flat(40.0, learning_rate=2e-5))
    assert [f.name for f in found if f.consequence_of is None] == ["implausible-loss"]


def test_preference_logs_are_not_judged() -> None:
    assert fired(flat(11.3, **{"rewards/chosen": 0.1})) == []


def test_it_resolves_when_the_loss_falls_after_all() -> None:
    losses = noisy([11.3] * 60 + [decay(step, 100, 11.0, 2.0) for step in range(100)], 0.01)
    changes = feed(train_rows(losses, learning_rate=2e-5))
    assert [f.resolved_step is None for f in changes] == [True, False]


def test_a_gradient_of_zero_from_the_first_record_needs_five() -> None:
    rows = flat(2.0, noise=0.03, rows=8, learning_rate=2e-5, grad_norm=0.0)
    for row in rows:
        row["learning_rate"] = 1e-6 * row["step"]
    known = ADAMW.replace(max_steps=1000)
    assert fired(rows, known) == [("train-loss-flat", "error", 5)]
    rows[0]["grad_norm"] = 0.4
    assert fired(rows, known) == []


def test_a_gradient_logged_as_zero_while_the_loss_falls_is_not_believed() -> None:
    losses = [decay(step, 30) for step in range(30)]
    assert fired(train_rows(noisy(losses, 0.01), learning_rate=2e-5, grad_norm=0.0)) == []


def test_noisy_rows_do_not_say_that_a_norm_of_zero_is_one() -> None:
    """GaLore, LOMO and others step layer by layer, and leave a norm of 0 while they learn."""
    losses = [2.1, 1.9, 1.75, 1.95, 1.8, 1.35, 1.45, 1.9]
    rows = train_rows(losses, learning_rate=1e-3, grad_norm=0.0)
    assert fired(rows) == []
    assert fired(rows, RunContext(optim="galore_adamw_layerwise")) == []
    # Of one that steps when the norm is known it is no step.
    (_, severity, step) = fired(rows, RunContext(optim="adamw_torch"))[0]
    assert (severity, step) == ("error", 5)


def evaluated(losses: list[float], evals: list[float], norm: float = 0.0) -> list[Row]:
    """Return train rows with evaluations spread over them; the last is behind the last row."""
    rows = train_rows(losses, learning_rate=1e-4, grad_norm=norm)
    after = {round((place + 1) * len(losses) / len(evals)): e for place, e in enumerate(evals)}
    both = [[row, {"step": row["step"], "eval_loss": after.get(row["step"])}] for row in rows]
    return [row for pair in both for row in pair if row.get("eval_loss", 0.0) is not None]


NOISY = [2.1, 1.9, 1.75, 1.95, 1.8, 2.2, 1.75, 2.0]
"""Rows that do not tell a fall from none."""


def test_two_equal_evaluations_beside_norms_of_zero_prove_that_nothing_moves() -> None:
    known = RunContext(max_steps=8)
    rows = evaluated(NOISY, [1.93125713, 1.93125713])
    (finding,) = feed(rows, known)
    assert (finding.name, finding.severity.label) == ("train-loss-flat", "error")
    assert report_of(rows, known).verdict == "error"
    assert not fired(evaluated(NOISY, [1.93125713, 1.93125713], norm=0.7), known)
    # Two that were rounded agree by chance.
    assert not [f for f in feed(evaluated(NOISY, [1.931, 1.931]), known) if f.severity.is_error]


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.15])
def test_a_layerwise_optimizer_that_is_not_known_learns_by_its_evaluations(noise: float) -> None:
    """Its train rows in a warm-up do not fall; what is evaluated does."""
    losses = noisy([3.0 - 0.002 * step for step in range(40)], noise)
    rows = evaluated(losses, [3.00571, 2.98341, 2.95277, 2.92118])
    assert fired(rows, RunContext(max_steps=40)) == []


def test_norms_of_zero_in_the_first_rows_are_no_error_of_an_unknown_optimizer() -> None:
    rows = flat(2.0, noise=0.03, rows=40, grad_norm=0.0)
    for row in rows:
        row["learning_rate"] = 1e-6 * row["step"]
    assert fired(rows, RunContext(max_steps=1000)) == []


def test_norms_of_zero_over_a_plan_are_a_warning_and_an_evaluation_ends_it() -> None:
    known = RunContext(max_steps=20)
    rows = train_rows(noisy([2.0] * 20, 0.06), learning_rate=1e-4, grad_norm=0.0)
    ((_, severity, step),) = fired(rows, known)
    assert (severity, step) == ("warning", 10)
    later = [{"step": 12, "eval_loss": 2.01731}, {"step": 20, "eval_loss": 1.95121}]
    assert feed([*rows[:12], later[0], *rows[12:], later[1]], known)[-1].resolved_step == 20


def test_norms_of_zero_beside_losses_of_zero_are_as_they_should_be() -> None:
    rows = train_rows([1.0, *[0.0] * 10, 1.0], grad_norm=0.0)
    assert "train-loss-flat" not in [finding.name for finding in report_of(rows).findings]
    assert report_of(rows).verdict == "healthy"


def test_a_fall_by_chance_beside_norms_of_zero_is_not_healthy() -> None:
    """Five draws of one level, of which one in a hundred falls so far."""
    losses = [2.3, 2.16, 1.9, 1.93, 1.6]
    known = RunContext(max_steps=5)
    assert (
        report_of(train_rows(losses, learning_rate=1e-4, grad_norm=0.7), known).verdict == "healthy"
    )
    report = report_of(train_rows(losses, learning_rate=1e-4, grad_norm=0.0), known)
    assert report.verdict == "inconclusive"
    assert "within backward" in report.skipped["train-loss-flat"]


@pytest.mark.parametrize(
    ("scores", "severity"),
    [
        ([0.53] * 6, "error"),
        ([0.53, 0.54, 0.53, 0.52, 0.53, 0.53], "warning"),
        ([1.0] * 6, "warning"),
    ],
)
def test_scores_that_do_not_change_are_a_sign(scores: list[float], severity: str) -> None:
    """A classifier that answers every row alike, its loss at that of the classes' shares."""
    rows: list[Row] = []
    for row in flat(0.69, noise=0.002, learning_rate=2e-5):
        rows.append(row)
        if row["step"] % 10 == 0:
            loss = 0.688 + 0.001 * (row["step"] % 20 == 0)
            score = scores[row["step"] // 10 - 1]
            rows.append({"step": row["step"], "eval_loss": loss, "eval_accuracy": score})
    finding = feed(rows, RunContext(max_steps=60))[-1]
    assert (finding.name, finding.severity.label) == ("train-loss-flat", severity)


def test_a_sure_fall_of_next_to_nothing_is_not_healthy() -> None:
    losses = [0.6822 - 2e-6 * step for step in range(60)]
    assert report_of(train_rows(losses[:3])).verdict == "inconclusive"
    (finding,) = feed(train_rows(losses, learning_rate=2e-5), RunContext(max_steps=60))
    assert finding.name == "train-loss-flat"


def test_evaluations_that_only_scatter_show_no_learning() -> None:
    """The first of many lies above the lowest by chance; 20 epochs are no beginning."""
    rows: list[Row] = []
    for number, loss in enumerate(noisy([0.682] * 20, 0.0005), start=153):
        evaluated = 0.686 + 0.0007 * random.Random(number).gauss(0, 1) + 0.001 * (number == 153)
        row = {"step": 10 * number, "epoch": float(number)}
        rows += [{**row, "loss": loss}, {**row, "eval_loss": evaluated}]
    assert report_of(rows).verdict == "inconclusive"


@pytest.mark.parametrize(
    "logged",
    [
        [(400, 5.06, 4.57), (800, 5.12, 4.51), (1200, 5.12, 4.49)],
        [(2100, 0.64, 0.73), (4200, 0.66, 0.63), (6400, 0.645, 0.655)],
    ],
)
def test_evaluations_beside_few_rows_that_do_not_fall_are_not_healthy(
    logged: list[tuple[int, float, float]],
) -> None:
    rows: list[Row] = []
    for step, loss, evaluated in logged:
        rows += [{"step": step, "loss": loss}, {"step": step, "eval_loss": evaluated}]
    assert report_of(rows).verdict == "inconclusive"


def test_a_noisy_blind_guess_over_a_known_vocabulary() -> None:
    rows = flat(10.3, noise=0.02, rows=60, learning_rate=2e-5)
    known = RunContext(vocab_size=32_000)
    assert [name for name, *_ in fired(rows, known)] == ["train-loss-flat"]
    assert fired(rows[:40], RunContext()) == []


def test_a_first_batch_that_was_hard_does_not_hide_a_rate_of_zero() -> None:
    rows = train_rows([3.415, 2.425, 2.98, 1.96, 2.85], learning_rate=0.0)
    assert fired(rows)[0] == ("train-loss-flat", "error", 3)
    falls = train_rows([3.4, 2.9, 2.4, 2.0, 1.7, 1.5], learning_rate=0.0)
    assert fired(falls) == []


@pytest.mark.parametrize(("trained", "severity"), [(256, "error"), (4_000_000, None)])
def test_a_slow_fall_with_next_to_no_parameters_is_none(trained: int, severity: str | None) -> None:
    """Few parameters move a loss by 1 to 4 % in 5,000 steps and teach the model nothing."""
    rows = train_rows(noisy([1.3 - 0.0025 * row for row in range(20)], 0.004), learning_rate=1e-3)
    for row in rows:
        row["step"] *= 250
    known = RunContext(
        max_steps=5_000, trainable_parameters=trained, total_parameters=3_000_000_000
    )
    found = [f for f in feed(rows, known) if f.resolved_step is None]
    assert [f.severity.label for f in found][:1] == ([severity] if severity else [])
    if found:
        assert found[-1].causes[0].id == "frozen-parameters"
        assert "256 of 3,000,000,000" in found[-1].causes[0].because[0]


def test_a_rate_of_zero_beside_gradients_is_the_schedules() -> None:
    """A step that a loss scaler skips has a gradient that is NaN or infinite."""
    rows = flat(2.2, rows=12, learning_rate=0.0)
    for row in rows:
        row["grad_norm"] = 1.2
    (finding, *_) = feed(rows, RunContext(learning_rate=2e-5, precision="fp16"))
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("schedule", "LIKELY")


CLIPPED = RunContext(
    optim="sgd",
    max_grad_norm=1e-3,
    learning_rate=0.1,
    lr_scheduler_type="linear",
    schedule_steps=100,
    max_steps=100,
)


def clipped_rows(*, grad_norm: float = 20.0, rate: float = 0.1) -> list[Row]:
    """Return log rows whose loss falls by a hundredth, within noise."""
    losses = noisy([4.5 - 4e-4 * step for step in range(100)], 0.05)
    rates = [rate * (1 - step / 100) for step in range(1, 101)]
    return [
        {"step": step, "loss": loss, "grad_norm": grad_norm, "learning_rate": now}
        for step, (loss, now) in enumerate(zip(losses, rates, strict=True), start=1)
    ]


def test_clipped_steps_of_sgd_cannot_take_the_loss_down() -> None:
    found = feed(clipped_rows(), CLIPPED)[0]
    assert (found.code, found.severity.label, found.causes[0].id) == (
        "SFT101",
        "error",
        "optimizer-settings",
    )
    assert found.fired_step <= 12
    # Rates of 0.1 to 0 over 100 steps, a clip of 0.001, a norm of 20: 0.1 nats.
    assert found.evidence["most_fall"] == pytest.approx(0.1, rel=0.02)
    assert "0.1 at most" in found.message


@pytest.mark.parametrize("clip", [None, 0.0, 1.0, 1e-3])
@pytest.mark.parametrize("rate", [2e-5, 1e-7])
def test_steps_of_sgd_at_a_rate_of_adams_cannot_take_the_loss_down(
    clip: float | None, rate: float
) -> None:
    """Where they could not without the clip either, the clip is not the cause."""
    context = CLIPPED.replace(max_grad_norm=clip, learning_rate=rate)
    found = feed(clipped_rows(grad_norm=2.0, rate=rate), context)[0]
    cause = found.causes[0]
    assert (found.code, found.severity.label, found.fired_step) == ("SFT101", "error", 5)
    assert (cause.id, cause.status.name) == ("learning-rate-too-low", "CONFIRMED")
    assert cause.fixes[0].changes == {"SFTConfig.learning_rate": (rate, 0.1)}
    assert "plain SGD" in found.message
    # Half of the rate over 100 steps, a norm of 2, twice where nothing clips it.
    most = 50 * rate * 2.0 * min(2.0, clip or 2.0)
    assert found.evidence["most_fall"] == pytest.approx(most, rel=0.02)


@pytest.mark.parametrize(
    ("grad_norm", "rate"),
    [
        pytest.param(5e-4, 2e-5, id="what is short is the gradient"),
        pytest.param(2.0, 0.1, id="a rate of SGD's own"),
    ],
)
def test_steps_of_sgd_that_are_not_too_short_by_their_rate(grad_norm: float, rate: float) -> None:
    context = CLIPPED.replace(max_grad_norm=None, learning_rate=rate)
    for found in feed(clipped_rows(grad_norm=grad_norm, rate=rate), context):
        assert "most_fall" not in found.evidence
        assert found.causes[0].status.name != "CONFIRMED"


@pytest.mark.parametrize(("clip", "epsilon"), [(1e-9, 1e-8), (1.0, 10.0)])
def test_a_clip_is_lost_beside_adam_s_epsilon(clip: float, epsilon: float) -> None:
    context = CLIPPED.replace(optim="adamw_torch", max_grad_norm=clip, adam_epsilon=epsilon)
    found = feed(clipped_rows(rate=1e-3), context.replace(learning_rate=1e-3))[0]
    assert (found.severity.label, found.causes[0].id) == ("error", "optimizer-settings")
    # Rates of 0.001 to 0 over 100 steps, a clip of a tenth of epsilon, a norm of 20: 0.1 nats.
    assert found.evidence["most_fall"] == pytest.approx(0.1, rel=0.02)
    (change,) = found.causes[0].fixes[0].changes.items() if epsilon > 1 else [(None, None)]
    assert change in [("SFTConfig.adam_epsilon", (10.0, 1e-8)), (None, None)]


ADAM = CLIPPED.replace(optim="adamw_torch", adam_epsilon=1e-8)


@pytest.mark.parametrize(
    ("context", "grad_norm", "rate"),
    [
        pytest.param(ADAM, 20.0, 1e-4, id="Adam takes the clip out"),
        pytest.param(ADAM.replace(max_grad_norm=1e-6), 20.0, 1e-4, id="a clip above epsilon"),
        pytest.param(ADAM.replace(adam_epsilon=None), 20.0, 1e-4, id="epsilon unknown"),
        pytest.param(CLIPPED.replace(optim="adafactor"), 20.0, 0.1, id="another optimizer"),
        pytest.param(CLIPPED, 5e-4, 0.1, id="below the clip"),
        pytest.param(CLIPPED.replace(learning_rate=30.0), 20.0, 30.0, id="a large rate"),
        pytest.param(CLIPPED.replace(max_steps=None), 20.0, 0.1, id="no plan"),
        pytest.param(CLIPPED.replace(max_grad_norm=None), 20.0, 0.1, id="no clip"),
    ],
)
def test_steps_that_may_take_the_loss_down_are_not_called_clipped(
    context: RunContext, grad_norm: float, rate: float
) -> None:
    rows = clipped_rows(grad_norm=grad_norm, rate=rate)
    assert not any("most_fall" in found.evidence for found in feed(rows[:40], context))


WARMED_UP = RunContext(
    optim="adamw_torch",
    learning_rate=1e-8,
    lr_scheduler_type="cosine",
    warmup_steps=10,
    schedule_steps=100,
    max_steps=100,
    trainable_parameters=10**8,
    max_grad_norm=1.0,
    adam_epsilon=1e-8,
)


def opening(rate: float = 1e-8, **more: float) -> list[Row]:
    """Return the first rows of a warm-up."""
    return [
        {"step": step + 1, "loss": loss, "grad_norm": 20.0, "learning_rate": rate * step / 10}
        | more
        for step, loss in enumerate(noisy([4.5] * 6, 0.08))
    ]


@pytest.mark.parametrize(
    ("context", "variant"),
    [
        pytest.param(WARMED_UP, "a step of Adam moves a weight", id="Adam at a tiny rate"),
        pytest.param(
            WARMED_UP.replace(optim="sgd", learning_rate=0.1, max_grad_norm=1e-3),
            "Every step is clipped",
            id="clipped SGD",
        ),
        pytest.param(
            WARMED_UP.replace(learning_rate=1e-3, adam_epsilon=10.0),
            "Adam divides by no less",
            id="Adam's epsilon",
        ),
    ],
)
def test_what_the_whole_plan_cannot_do_is_not_waited_for(context: RunContext, variant: str) -> None:
    (found,) = feed(opening(context.learning_rate or 0.0), context)
    assert (found.code, found.severity.label, found.fired_step) == ("SFT101", "error", 5)
    assert variant in found.message
    assert found.causes[0].status.name == "CONFIRMED"


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(WARMED_UP.replace(learning_rate=1e-5), id="a rate that is in use"),
        pytest.param(WARMED_UP.replace(learning_rate=None), id="it may go on climbing"),
        pytest.param(WARMED_UP.replace(lr_scheduler_type="one_cycle"), id="another schedule"),
        pytest.param(WARMED_UP.replace(optim="adafactor"), id="another optimizer"),
        pytest.param(WARMED_UP.replace(trainable_parameters=10**10), id="many weights"),
        pytest.param(WARMED_UP.replace(trainable_parameters=None), id="unknown weights"),
        pytest.param(WARMED_UP.replace(max_steps=100_000), id="a long plan"),
        pytest.param(WARMED_UP.replace(max_steps=None), id="no plan"),
    ],
)
def test_what_the_plan_may_do_is_waited_for(context: RunContext) -> None:
    assert feed(opening(context.learning_rate or 1e-8), context) == []


def test_a_loss_that_falls_all_the_same_is_not_told_that_it_cannot() -> None:
    rows = opening()
    for row in rows:
        row["loss"] = 4.5 * 0.9 ** row["step"]
    assert feed(rows, WARMED_UP) == []
    evaluated = opening()
    evaluated[1:1] = [{"step": 1, "eval_loss": 4.5}]
    evaluated[5:5] = [{"step": 4, "eval_loss": 4.0}]
    assert feed(evaluated, WARMED_UP) == []


@pytest.mark.parametrize(("share", "said"), [(0.3, False), (0.9, True), (None, True)])
def test_what_label_smoothing_costs_is_no_sign_of_a_guess(share: float | None, said: bool) -> None:
    """A third of twice ln V is on top of each loss, and a fall looks small beside it."""
    rows = [
        {"step": step, "loss": loss, "grad_norm": 2.0, "learning_rate": 2e-5}
        for step, loss in enumerate(
            noisy([7.9 - 4e-4 * step for step in range(150)], 0.05), start=1
        )
    ]
    for row in rows[24::25]:
        row["eval_loss"] = 7.9 - 7e-4 * row["step"]
    rows = [
        part
        for row in rows
        for part in (
            {name: value for name, value in row.items() if name != "eval_loss"},
            *([{"step": row["step"], "eval_loss": row["eval_loss"]}] if "eval_loss" in row else []),
        )
    ]
    context = RunContext(vocab_size=49_152, label_smoothing=share, max_steps=150)
    found = [f for f in report_of(rows, context).findings if f.code == "SFT101"]
    assert bool(found) is said


@pytest.mark.parametrize(("method", "verdict"), [("lora", "error"), (None, "inconclusive")])
def test_norms_of_zero_of_an_adapter_are_a_proof(method: str | None, verdict: str) -> None:
    """Optimizers that leave none are those of all weights."""
    rows = flat(2.2, rows=12, learning_rate=2e-4, grad_norm=0.0)
    assert report_of(rows, RunContext(method=method, max_steps=1000)).verdict == verdict
