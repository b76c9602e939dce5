from __future__ import annotations

from math import inf, nan

import pytest
from logs import Row, feed, fired

import sftdiag


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
