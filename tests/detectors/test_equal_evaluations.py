from __future__ import annotations

import pytest
from logs import fired


def rows(losses: list[float], every: float = 1.0) -> list[dict[str, float]]:
    found = []
    for number, (train, loss) in enumerate(zip([0.7, 0.7138, 0.8033], losses, strict=True), 1):
        place = {"step": 10 * number, "epoch": every * number}
        found += [{**place, "loss": train}, {**place, "eval_loss": loss}]
    return found


def test_three_that_agree_to_the_last_digit_need_no_train_loss() -> None:
    assert fired(rows([0.9335] * 3)) == [("train-loss-flat", "error", 30)]


@pytest.mark.parametrize(
    ("losses", "every"), [([0.93] * 3, 1.0), ([0.9335] * 3, 0.01), ([0.9335, 0.9335, 0.9334], 1.0)]
)
def test_rounded_ones_those_of_a_warm_up_and_others_do(losses: list[float], every: float) -> None:
    assert fired(rows(losses, every)) == []
