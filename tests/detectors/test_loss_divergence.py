from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import Row, decay, feed, fired, noisy, train_rows

from sftdiag.context import RunContext


def test_a_blow_up_that_stays() -> None:
    losses = [decay(step, 100) for step in range(100)] + [9.0] * 100
    changes = feed(train_rows(noisy(losses, 0.03), learning_rate=0.01, grad_norm=3.0))
    blown = next(finding for finding in changes if finding.name == "loss-divergence")
    assert blown.severity.label == "error"
    assert 100 < blown.fired_step <= 115
    assert blown.causes[0].id == "learning-rate-too-high"


def test_it_resolves_when_the_loss_is_back() -> None:
    losses = [decay(step, 100) for step in range(100)] + [9.0] * 60
    losses += [decay(step, 100) for step in range(200)]
    changes = [f for f in feed(train_rows(noisy(losses, 0.03))) if f.name == "loss-divergence"]
    assert [finding.resolved_step is None for finding in changes] == [True, False]


def test_a_short_spike_is_no_divergence() -> None:
    losses = [decay(step, 200) for step in range(200)]
    losses[120:123] = [12.0, 9.0, 6.0]
    assert fired(train_rows(noisy(losses, 0.03))) == [("loss-spike", "info", 126)]


def test_nan_after_it_is_the_primary_finding() -> None:
    losses = [decay(step, 100) for step in range(100)] + [9.0] * 60 + [float("nan")] * 5
    last = {finding.code: finding for finding in feed(train_rows(losses))}
    assert last["SFT106"].consequence_of is None


def test_preference_logs_are_not_judged() -> None:
    losses = [decay(step, 100) for step in range(100)] + [9.0] * 100
    assert fired(train_rows(losses, **{"rewards/chosen": 0.0})) == []


def test_length_grouping_is_no_blow_up() -> None:
    """Saw-teeth of half the loss with a period of 50 steps, rising within it."""
    losses = [2.0 * (0.75 + 0.5 * (step % 50) / 50) for step in range(200)]
    assert fired(train_rows(noisy(losses, 0.01))) == []


def test_lopsided_noise_is_no_blow_up() -> None:
    for seed in range(60):
        draw = random.Random(seed)
        rows = train_rows([2.0 * draw.lognormvariate(0, 0.4) for _ in range(150)])
        assert fired(rows) == []


def test_a_leap_above_all_losses_needs_five_records() -> None:
    losses = [decay(step, 120) for step in range(120)] + [4.2] * 20
    (blown,) = [f for f in feed(train_rows(noisy(losses, 0.03))) if f.name == "loss-divergence"]
    assert (blown.severity.label, blown.fired_step) == ("error", 125)


def test_a_low_blow_up_is_a_warning_until_it_has_lasted() -> None:
    losses = [decay(step, 60) for step in range(60)] + [3.8] * 60
    changes = [f for f in feed(train_rows(noisy(losses, 0.03))) if f.name == "loss-divergence"]
    assert [finding.severity.label for finding in changes] == ["warning", "error"]
    assert 60 < changes[0].fired_step < changes[1].fired["error"] <= changes[0].fired_step + 10


def blown(rows: list[Row], **context: object) -> list[tuple[str, int]]:
    seen = feed(rows, RunContext().replace(**context))
    found = [finding for finding in seen if finding.code == "SFT104"]
    return [(f.severity.label, f.fired_step) for f in found if f.resolved_step is None]


def test_a_leap_in_ten_records_all_told() -> None:
    losses = [1.6, 11.8, 10.4, 10.4, 10.1, 9.9, 9.8, 9.7, 9.7, 9.6]
    assert blown(train_rows(losses)) == [("error", 4)]
    tens = [{**row, "step": 10 * row["step"]} for row in train_rows(losses)]
    assert blown(tens) == [("error", 40)]
    # Above a blind guess two means over ten steps each are enough.
    assert blown(tens, vocab_size=8_000) == [("error", 30)]


@given(
    before=st.integers(3, 60),
    noise=st.floats(0.0, 0.1),
    start=st.floats(0.8, 4.0),
    fall=st.floats(0.8, 1.0),
)
def test_a_leap_of_three_times_is_named_within_three_rows(
    before: int, noise: float, start: float, fall: float
) -> None:
    level = [decay(step, before, start, fall * start) for step in range(before)]
    assert blown(train_rows(noisy(level, noise))) == []
    ((severity, step),) = blown(train_rows(noisy([*level, *[3.2 * start] * 4], noise)))
    assert severity == "error"
    assert before + 3 <= step <= before + 4


def test_a_leap_beyond_all_text_is_named_at_its_second_row() -> None:
    """As SGD at a rate of 30 goes, logged at every step."""
    assert blown(train_rows([4.19, 13.0, 2338.0, 1.2e6])) == [("error", 3)]
    # Two odd batches, or a loss in a unit of its own.
    assert blown(train_rows([1.2, 1.2, 1.1, 6.0, 11.9, *[1.1] * 20])) == []
    assert blown(train_rows([300.0, 300.0, 290.0, 900.0, 1200.0, *[290.0] * 20])) == []


@pytest.mark.parametrize("grad_norm", [0.0, float("inf"), float("nan")])
def test_a_first_row_of_many_steps_that_blew_up(grad_norm: float) -> None:
    """It has no row to leap from; behind it no weight moves, at a blind guess or anywhere."""
    rows = [
        {"step": 10 * n, "loss": loss, "grad_norm": grad_norm}
        for n, loss in enumerate([1.1e5, *[4.143] * 6], start=1)
    ]
    assert blown(rows, vocab_size=63) == [("error", 20)]
    assert blown(rows) == [("error", 20)]
    finding = next(f for f in feed(rows, RunContext(vocab_size=63)) if f.code == "SFT104")
    assert "in the first 10 steps" in finding.message
    # What is left of it has no gradient: a consequence, and not told beside it.
    deepspeed = RunContext(vocab_size=63, precision="bf16", deepspeed=True)
    assert "SFT112" not in {f.code for f in feed(rows, deepspeed)}


def test_a_high_first_row_of_a_run_that_learns_is_none() -> None:
    summed = [(3.1e4, 900.0), (2.9e4, 800.0), (2.7e4, 800.0)]
    caught = [(90.0, 40.0), (9.0, 5.0), (6.0, 2.0)]
    single = [(3.1e4, float("inf")), (2.9e4, float("inf")), (2.7e4, 800.0)]
    for every, pairs in ((10, summed), (10, caught), (1, single)):
        rows = [
            {"step": every * n, "loss": loss, "grad_norm": norm}
            for n, (loss, norm) in enumerate(pairs, start=1)
        ]
        assert blown(rows, vocab_size=32_000) == []


@pytest.mark.parametrize("first", [(0.4,), (0.4, 0.5)])
def test_first_rows_that_are_low_by_chance_are_no_leap(first: tuple[float, ...]) -> None:
    assert blown(train_rows([*first, *noisy([2.4 * max(first)] * 60, 0.1)])) == []


def test_a_swing_far_above_the_first_rows_is_a_leap() -> None:
    losses = [4.1, 4.2, 4.5, 5.0, 19.0, 11.7, 4.4, 10.7, 25.3, 10.4, 17.4, 59.6, 31.6, 27.1]
    assert len(blown(train_rows(losses))) == 1


def test_a_leap_is_over_when_the_loss_is_back_and_the_jump_stays() -> None:
    losses = [2.0, 2.0, 2.0, *[20.0 * 0.9**step + 1.7 for step in range(60)]]
    last = {finding.code: finding for finding in feed(train_rows(losses, learning_rate=1e-2))}
    assert last["SFT104"].resolved_step is not None
    assert last["SFT109"].resolved_step is None


def test_no_step_of_a_tiny_rate_does_that() -> None:
    losses = [2.3, *[11.0 - 0.004 * step for step in range(20)]]
    (finding,) = (
        f
        for f in feed(train_rows(losses, learning_rate=1e-9), RunContext(quantization="8bit"))
        if f.code == "SFT104"
    )
    causes = {cause.id: cause.status.name for cause in finding.causes}
    assert causes["learning-rate-too-high"] == "RULED_OUT"
    assert causes["hardware-or-kernel"] == causes["quantization-or-dtype"] == "LIKELY"
    assert finding.causes[0].id == "hardware-or-kernel"


def test_a_leap_among_batches_that_differ() -> None:
    rows = train_rows([2.32, 3.08, 2.72, 1.82, 6.66, 8.18, 5.41, 7.62, 8.91])
    assert fired(rows)[0] == ("loss-divergence", "error", 7)
    rows = train_rows([2.18, 16.0, 21.5, 12.4, 17.3])
    assert fired(rows)[0] == ("loss-divergence", "error", 4)
