from __future__ import annotations

from math import inf, nan

import pytest
from logs import Row, feed, fired, report_of

import sftdiag
from sftdiag.findings import Severity
from sftdiag.monitor import Monitor
from sftdiag.observations import Observation, Outcome


def evaluations(losses: list[float], train: float = 2.0) -> list[Row]:
    rows: list[Row] = []
    for index, loss in enumerate(losses, start=1):
        rows.append({"step": 10 * index, "loss": train, "grad_norm": train and 1.0})
        rows.append({"step": 10 * index, "eval_loss": loss})
    return rows


@pytest.mark.parametrize("bad", [nan, inf, "NaN"])
def test_two_evaluations_in_a_row(bad: float) -> None:
    rows = evaluations([1.0, bad, bad, bad])
    assert fired(rows) == [("eval-not-finite", "warning", 30)]
    (finding,) = feed(rows)
    assert finding.onset_step == 20
    assert finding.causes[0].id == "quantization-or-dtype"


def test_from_the_first_evaluation_the_labels_are_to_blame() -> None:
    (finding,) = feed(evaluations([nan]))
    assert (finding.fired_step, finding.onset_step) == (10, 10)
    assert finding.causes[0].id == "label-mask"
    assert finding.causes[0].status.name == "LIKELY"


@pytest.mark.parametrize(
    "last", [{"grad_norm": nan}, {"loss": nan}, {"loss": 0.0, "grad_norm": nan}]
)
def test_labels_are_not_to_blame_where_the_gradient_was_lost_before(last: dict[str, float]) -> None:
    rows: list[Row] = [{"step": n, "loss": 2 - n / 50, "grad_norm": 1.0} for n in range(1, 11)]
    rows[-1] |= last
    evaluation = {"step": 10, "eval_loss": nan}
    finding = next(f for f in report_of([*rows, evaluation]).findings if f.code == "SFT203")
    mask = next(cause for cause in finding.causes if cause.id == "label-mask")
    assert mask.status.name == "POSSIBLE"
    assert "since step 10" in mask.against[0]


@pytest.mark.parametrize(("norm", "status"), [(1.0, "CONFIRMED"), (nan, "LIKELY")])
def test_a_lost_gradient_leaves_rows_without_a_label_unproven(norm: float, status: str) -> None:
    seen = Observation(
        "SFT401",
        "no-supervised-token",
        Severity.ERROR,
        "label-mask",
        evidence={"seen": 8},
        series="eval",
    )
    monitor = Monitor()
    monitor.take_checks(Outcome((seen,), ("no-supervised-token",)))
    monitor.feed_entry({"step": 10, "loss": 2.0, "grad_norm": norm})
    monitor.feed_entry({"step": 10, "eval_loss": nan})
    finding = next(f for f in monitor.report().findings if f.code == "SFT203")
    (mask,) = (cause for cause in finding.causes if cause.id == "label-mask")
    assert mask.status.name == status


def test_they_are_where_the_rows_after_a_lost_gradient_are_sound() -> None:
    rows = evaluations([nan])
    lost = {"step": 5, "loss": 2.0, "grad_norm": nan}
    finding = next(f for f in report_of([lost, *rows]).findings if f.code == "SFT203")
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("label-mask", "LIKELY")


def test_one_after_the_closing_row_counts_where_none_came_before() -> None:
    closing = {"step": 40, "train_runtime": 9.0, "train_loss": 2.0}
    last = {"step": 40, "eval_loss": nan, "eval_runtime": 1.0}
    train = [{"step": step, "loss": 2.0 - step / 100} for step in (10, 20, 30, 40)]
    assert fired([*train, closing, last]) == [("eval-not-finite", "warning", 40)]
    assert fired([*evaluations([1.5, 1.4, 1.3, 1.2]), closing, last]) == []


def test_one_is_not_enough_and_it_never_resolves() -> None:
    assert fired(evaluations([1.0, nan, 1.0, nan, 1.0])) == []
    assert [f.resolved_step for f in feed(evaluations([nan, nan, 1.0, 1.0]))] == [None]


def test_series_are_counted_apart() -> None:
    rows = []
    for step in (10, 20, 30):
        rows.append({"step": step, "loss": 2.0})
        rows.append(
            {
                "step": step,
                "eval_a_loss": 1.0,
                "eval_a_runtime": 1,
                "eval_b_loss": nan,
                "eval_b_runtime": 1,
            }
        )
    assert [f.series for f in feed(rows)] == ["eval_b_loss"]


def test_masked_training_explains_it() -> None:
    rows = evaluations([nan, nan, nan, nan], train=0.0)
    report = sftdiag.analyze({"log_history": rows})
    assert report.primary is not None
    assert report.primary.code == "SFT107"
    assert report.findings[1].consequence_of == report.primary.id


def test_one_is_enough_beside_a_score_that_collapsed() -> None:
    rows = evaluations([1.0, 0.9, nan, nan])
    for row, score in zip(rows[1::2], (0.76, 0.77, 0.0006, 0.0006), strict=True):
        row["eval_mean_token_accuracy"] = score
    assert fired(rows) == [("eval-not-finite", "warning", 30)]
    for row in rows[1::2]:
        row["eval_mean_token_accuracy"] = 0.5
    assert fired(rows) == [("eval-not-finite", "warning", 40)]


def test_a_run_that_ends_on_one_is_not_called_healthy() -> None:
    rows = [{"step": step, "loss": 3 - step / 50} for step in range(1, 101)]
    rows += [{"step": 50, "eval_loss": 2.0}, {"step": 100, "eval_loss": nan}]
    rows.sort(key=lambda row: row["step"])
    report = sftdiag.analyze({"log_history": rows})
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert report.reason is not None
    assert "last evaluation, at step 100, is NaN" in report.reason
    assert sftdiag.analyze({"log_history": rows[:-1]}).verdict == "healthy"
