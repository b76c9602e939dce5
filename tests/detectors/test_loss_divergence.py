from __future__ import annotations

import random

from logs import decay, feed, fired, noisy, train_rows


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
