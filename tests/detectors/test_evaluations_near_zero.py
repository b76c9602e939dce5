"""An evaluation loss that is next to nothing and doubles is next to nothing still."""

from __future__ import annotations

import math
import random

import pytest
from logs import Row, feed, report_of

from sftdiag.context import RunContext


def classifier(best: float, last: float, evaluations: int = 8, seed: int = 0) -> list[Row]:
    """Return a fine-tune of two classes whose few wrong rows cost more as the model gets surer."""
    draw = random.Random(seed)
    rows: list[Row] = []
    turn = max(1, evaluations // 3)
    for number in range(1, evaluations + 1):
        for row in range(10):
            done = (10 * (number - 1) + row) / (10 * evaluations)
            loss = 0.69 * math.exp(-14 * done) + 0.004 * math.exp(draw.gauss(0, 0.5)) * (1 - done)
            step, epoch = 50 * (10 * number - 9 + row), number - 1 + row / 10
            rate = 5e-5 * (1 - done)
            rows.append({"step": step, "epoch": epoch, "loss": loss, "learning_rate": rate})
        up = max(0.0, (number - turn) / (evaluations - turn))
        level = best + (0.12 - best) * max(0.0, 1 - number / turn) + (last - best) * up
        seen = level * draw.gauss(1.0, 0.02)
        rows.append({"step": rows[-1]["step"], "eval_loss": seen, "eval_accuracy": 0.996})
    return rows


def alarms(rows: list[Row], epochs: int) -> list[str]:
    found = feed(rows, RunContext(num_train_epochs=epochs))
    return [f.code for f in found if f.severity.label != "info" and f.code == "SFT201"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("evaluations", [3, 4, 5, 8, 20])
@pytest.mark.parametrize(("best", "last"), [(0.01, 0.02), (0.004, 0.03), (0.02, 0.04)])
def test_it_doubles(best: float, last: float, evaluations: int, seed: int) -> None:
    assert not alarms(classifier(best, last, evaluations, seed), evaluations)


@pytest.mark.parametrize("evaluations", [5, 8, 20])
def test_one_that_leaves_it_is_told(evaluations: int) -> None:
    assert alarms(classifier(0.02, 0.3, evaluations), evaluations)


def test_small_losses_of_a_unit_of_their_own_are_told() -> None:
    """A tenth of the first train loss is no next to nothing, whatever the unit."""
    rows = classifier(0.2, 0.5)
    for row in rows:
        for name in ("loss", "eval_loss"):
            if name in row:
                row[name] /= 1000
    assert alarms(rows, 8)
    assert report_of(rows, RunContext(num_train_epochs=8)).verdict in ("warning", "error")
