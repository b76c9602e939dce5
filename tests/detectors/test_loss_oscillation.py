from __future__ import annotations

import random
from math import exp, log, sin

import pytest
from logs import Row, feed, fired, noisy, train_rows

from sftdiag.context import RunContext


def swinging(size: float, steps: int = 300, phase: float = 0.0, decay: bool = False) -> list[Row]:
    """A loss of 2 that begins to swing at half of the log; the gradient norm ``phase`` apart."""
    waves = [size * (step > steps // 2) for step in range(steps)]
    losses = [2.0 * (1 + w * sin(0.6 * i)) for i, w in enumerate(waves)]
    rows = train_rows(noisy(losses, 0.02))
    for i, (row, wave) in enumerate(zip(rows, waves, strict=True)):
        row["grad_norm"] = exp(2 * wave * sin(0.6 * i + phase) + 0.1 * sin(7.3 * i))
        row["learning_rate"] = 1e-4 * (0.01 if decay and i > steps // 2 else 1.0)
    return rows


def test_a_swing_with_the_gradient_in_phase_is_a_warning() -> None:
    found = fired(swinging(0.3))
    assert [(name, severity) for name, severity, _ in found][-1] == ("loss-oscillation", "warning")
    assert 150 < found[-1][2] < 260


@pytest.mark.parametrize(
    "rows",
    [
        swinging(0.3, phase=1.57),
        swinging(0.3, decay=True),
        [{k: v for k, v in row.items() if k != "grad_norm"} for row in swinging(0.3)],
    ],
    ids=["out of phase", "rate near 0", "no grad_norm"],
)
def test_a_curve_alone_is_info(rows: list[Row]) -> None:
    swings = [severity for name, severity, _ in fired(rows) if name == "loss-oscillation"]
    assert swings == ["info"]


@pytest.mark.parametrize("size", [0.0, 0.03])
def test_a_small_swing_is_silent(size: float) -> None:
    assert "loss-oscillation" not in {name for name, *_ in fired(swinging(size))}


def test_a_swing_from_the_start_is_silent() -> None:
    """Length grouping and batch size 1 look like this."""
    losses = [2.0 * (1 + 0.3 * sin(0.6 * i)) for i in range(300)]
    assert fired(train_rows(losses, grad_norm=1.0)) == []


def test_swinging_around_a_blind_guess() -> None:
    context = RunContext(vocab_size=32_000)
    found = fired(train_rows(noisy([10.2] * 120, 0.25)), context)
    assert ("loss-oscillation", "warning", 48) in found
    assert all(
        name != "loss-oscillation" for name, _, _ in fired(train_rows([10.2] * 120), context)
    )


@pytest.mark.parametrize(("period", "noted"), [(50, True), (40, False), (10, False), (0, False)])
def test_the_saw_tooth_of_length_grouping_is_noted_as_normal(period: int, noted: bool) -> None:
    teeth = [1.2 - 0.4 * ((step % period) / period) if period else 1.0 for step in range(400)]
    rows = train_rows(noisy([2.0 * tooth for tooth in teeth], 0.05), learning_rate=2e-5)
    notes = [f for f in feed(rows) if f.name == "length-grouping"]
    assert [(f.severity.label, f.onset_step) for f in notes] == ([("info", 1)] if noted else [])


def test_the_calmest_of_thousands_of_windows_is_calm_by_chance() -> None:
    draw = random.Random(0)
    losses = [(2.0 - step / 20_000) * draw.lognormvariate(0, 0.25) for step in range(20_000)]
    assert fired(train_rows(losses)) == []


def test_as_many_nats_are_a_larger_share_of_a_loss_that_came_down() -> None:
    """Noise of 0.08 nats around a loss that falls from 2.7 to 1.2: 3 % of it, then 7 %."""
    draw = random.Random(1)
    losses = [1.2 + 1.5 * exp(-step / 300) + draw.gauss(0, 0.08) for step in range(13_000)]
    assert fired(train_rows(losses)) == []


def test_what_begins_as_a_blind_guess_is_calm_until_it_has_learned() -> None:
    """A third of the tokens follow from nothing; how many there are differs from batch to batch."""
    draw, chance = random.Random(2), log(500)
    rows = []
    for step in range(1, 1501):
        known, share = chance * exp(-step / 80), draw.gauss(1 / 3, 0.03)
        loss = share * chance + (1 - share) * known
        norm = (1.0 - known / chance + 0.05) * exp(12 * (share - 1 / 3))
        rows.append({"step": step, "loss": loss, "grad_norm": norm, "learning_rate": 1e-3})
    found = feed(rows, RunContext(vocab_size=500))
    assert [finding.code for finding in found if finding.name == "loss-oscillation"] == []
