from __future__ import annotations

import pytest
from logs import Row, feed, fired, train_rows


def learned(
    steps: int = 100, epochs: float = 5.0, rate: float = 0.93, start: float = 2.0
) -> list[Row]:
    rows = train_rows([start * rate**step for step in range(steps)])
    for row in rows:
        row["epoch"] = row["step"] / steps * epochs
    return rows


def test_a_loss_near_zero_after_many_epochs() -> None:
    (finding,) = feed(learned())
    assert (finding.name, finding.severity.label) == ("memorization", "warning")
    assert finding.causes[0].id == "too-many-epochs"
    assert finding.causes[0].status.name == "LIKELY"


def test_two_epochs_are_enough_for_a_loss_of_nothing() -> None:
    assert [name for name, *_ in fired(learned(epochs=2.5, rate=0.9))] == ["memorization"]
    assert fired(learned(epochs=2.5, rate=0.96)) == []


@pytest.mark.parametrize("epochs", [0.8, 2.0])
def test_few_epochs_learn_nothing_by_heart(epochs: float) -> None:
    assert fired(learned(epochs=epochs)) == []


def test_a_run_that_starts_low_has_not_memorised() -> None:
    assert fired(learned(rate=0.999, start=0.08)) == []


def test_an_evaluation_is_the_better_judge() -> None:
    rows: list[Row] = []
    for row in learned():
        rows.append(row)
        if row["step"] % 10 == 0:
            rows.append(
                {"step": row["step"], "epoch": row["epoch"], "eval_loss": row["loss"] * 1.1}
            )
    assert fired(rows) == []


def test_a_rising_evaluation_is_another_finding() -> None:
    rows: list[Row] = []
    for row in learned():
        rows.append(row)
        if row["step"] % 10 == 0:
            loss = 1.5 + abs(row["step"] - 30) * 0.02
            rows.append({"step": row["step"], "epoch": row["epoch"], "eval_loss": loss})
    assert {finding.name for finding in feed(rows)} == {"eval-loss-rising"}


def test_it_resolves_when_the_loss_comes_back() -> None:
    rows = learned()
    rows += [{"step": 101 + i, "epoch": 5.0 + i / 20, "loss": 1.0} for i in range(20)]
    mine = [finding for finding in feed(rows) if finding.name == "memorization"]
    assert [finding.resolved_step is None for finding in mine] == [True, False]
