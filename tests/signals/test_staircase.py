from __future__ import annotations

import random

from logs import signals_of

ROWS = 40


def stairs(epochs: int, drop: float, *, first_step: int = 1) -> list[dict[str, float]]:
    """Return a log whose loss falls by so much at each epoch's edge, and inside none."""
    noise = random.Random(5)
    return [
        {
            "step": first_step + i,
            "epoch": i / ROWS,
            "loss": 3.0 - drop * (i // ROWS) + 0.01 * noise.gauss(0, 1),
        }
        for i in range(epochs * ROWS)
    ]


def test_each_edge_that_drops_is_a_step() -> None:
    staircase = signals_of(stairs(4, 0.5)).staircase
    assert staircase.evidence["edges"] == 3
    assert 0.15 < staircase.last_drop < 0.25
    assert staircase.last_step == 3 * ROWS + 6


def test_a_steady_fall_and_small_drops_are_no_steps() -> None:
    slope = [{"step": i + 1, "epoch": i / ROWS, "loss": 3.0 - 0.01 * i} for i in range(4 * ROWS)]
    assert signals_of(slope).staircase.steps == 0
    assert signals_of(stairs(4, 0.05)).staircase.steps == 0


def test_a_loss_that_is_lost_is_no_row_of_an_edge() -> None:
    rows = stairs(2, 0.5)
    for row in rows[ROWS + 1 : ROWS + 11]:
        row |= {"loss": 0.0, "grad_norm": float("nan")}
    assert signals_of(rows).staircase.last_step == ROWS + 16


def test_a_log_that_goes_back_counts_afresh() -> None:
    again = stairs(2, 0.5)
    assert signals_of(stairs(4, 0.5) + again).staircase.steps == 1
    assert signals_of(stairs(4, 0.5) + again[:ROWS]).staircase.steps == 0
