from __future__ import annotations

from collections.abc import Callable

import pytest
from logs import Row, feed, fired, noisy, train_rows

from sftdiag.checks.answers_truncated import AnswersTruncatedCheck
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome


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
    assert "memorization" not in {name for name, *_ in fired(learned(epochs=epochs))}


def test_a_run_that_starts_low_has_not_memorised() -> None:
    assert fired(learned(rate=0.999, start=0.08)) == []


def test_an_evaluation_is_the_better_judge() -> None:
    rows: list[Row] = []
    for row in learned():
        rows.append(row)
        if row["step"] % 10 == 0:
            rows.append(
                {"step": row["step"], "epoch": row["epoch"], "eval_loss": row["loss"] * 1.1 + 0.1}
            )
    assert fired(rows) == []


def evaluated(evaluation: Callable[[float], float], start: float = 2.0) -> list[Row]:
    rows: list[Row] = []
    for row in learned(start=start, rate=0.92):
        rows.append(row)
        if row["step"] % 10 == 0:
            loss = evaluation(row["loss"])
            rows.append({"step": row["step"], "epoch": row["epoch"], "eval_loss": loss})
    return rows


@pytest.mark.parametrize(
    ("evaluation", "start", "says"),
    [
        (lambda loss: 1.3 + 0.1 * loss, 2.0, "rests at 1.3"),
        (lambda loss: 1.1 * loss, 2.0, "among the training rows"),
        # Answers of two kinds can become certain.
        (lambda loss: 1.1 * loss, 0.69, None),
    ],
)
def test_an_evaluation_that_rests_or_is_nothing_itself(
    evaluation: Callable[[float], float], start: float, says: str | None
) -> None:
    found = [f for f in feed(evaluated(evaluation, start)) if f.name == "memorization"]
    assert len(found) == (says is not None)
    assert says is None or says in found[0].message


@pytest.mark.parametrize(
    ("planned", "change", "says"),
    [(5.0, (5.0, 1), "by epoch 1.0 (step 20"), (None, None, "train until step 20")],
)
def test_as_many_epochs_as_the_evaluation_asks_for(
    planned: float | None, change: tuple[float, int] | None, says: str
) -> None:
    """The run's own evaluations know better than a table how many epochs help."""
    rows = evaluated(lambda loss: 1.3 + 0.1 * loss**3)
    found = feed(rows, RunContext(num_train_epochs=planned))
    (mine,) = [finding for finding in found if finding.name == "memorization"]
    fix = next(cause for cause in mine.causes if cause.id == "too-many-epochs").fixes[0]
    assert says in fix.text
    assert fix.changes.get("SFTConfig.num_train_epochs") == change


@pytest.mark.parametrize(("lost", "named"), [(0.8, True), (0.2, False)])
def test_answers_of_which_the_length_leaves_the_beginning(lost: float, named: bool) -> None:
    seen = AnswersTruncatedCheck().observation(
        Severity.WARNING,
        evidence={"series": "train", "rows": 64, "seen": 64, "share": 1.0, "max_length": 14}
        | {"low": 0.9, "high": 1.0, "lost": lost},
    )
    monitor = Monitor()
    monitor.take_checks(Outcome((seen,), (seen.name,)))
    for row in evaluated(lambda loss: 1.1 * loss):
        monitor.feed_entry(row)
    mine = next(f for f in monitor.report().findings if f.code == "SFT202")
    assert (mine.causes[0].id == "sequence-length") == named
    assert not named or mine.causes[0].check == "SFT408"


def stairs(drop: float, epochs: int = 3, rows: int = 12) -> list[Row]:
    levels = [1.6 * (1 - drop) ** (step // rows) for step in range(epochs * rows)]
    log = train_rows(noisy(levels, 0.05))
    for row in log:
        row["epoch"] = (row["step"] - 0.5) / rows
    return log


@pytest.mark.parametrize(("drop", "found"), [(0.7, True), (0.38, False)])
def test_a_loss_that_halves_at_the_epochs_edges(drop: float, found: bool) -> None:
    names = [f.name for f in feed(stairs(drop)) if f.name == "memorization"]
    assert names == ["memorization"] * found


@pytest.mark.parametrize(
    ("level", "epoch", "found"),
    [(0.005, 5.0, True), (0.05, 5.0, False), (0.05, 12.0, True), (0.005, 0.1, False)],
)
def test_a_log_that_begins_near_nothing(level: float, epoch: float, found: bool) -> None:
    rows = train_rows(noisy([level] * 40, 0.1))
    for row in rows:
        row["epoch"] = epoch + row["step"] / 100
    assert [name for name, *_ in fired(rows)] == ["memorization"] * found


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
