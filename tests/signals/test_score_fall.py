from __future__ import annotations

import pytest
from logs import Row, decay, report_of, train_rows

from sftdiag.context import RunContext

FELL = (0.61, 0.72, 0.78, 0.79, 0.61, 0.6)


def run(scores: tuple[float, ...], name: str = "accuracy", rows: float | None = 1000) -> list[Row]:
    """A run that learns, beside evaluations whose loss rests after its fall."""
    log: list[Row] = []
    for row in train_rows([decay(step, 60) for step in range(60)], learning_rate=2e-5):
        log.append(row)
        if row["step"] % 10 == 0:
            place = row["step"] // 10 - 1
            evaluation = {"step": row["step"], "eval_loss": 0.5 + 0.1 * (place == 0)}
            if rows:
                evaluation |= {"eval_runtime": 10.0, "eval_samples_per_second": rows / 10}
            log.append({**evaluation, f"eval_{name}": scores[place]})
    return log


@pytest.mark.parametrize("name", ["accuracy", "f1", "mean_token_accuracy"])
def test_a_score_that_fell_is_not_healthy(name: str) -> None:
    report = report_of(run(FELL, name))
    assert report.verdict == "inconclusive"
    assert f"eval_{name} fell from 0.79 at step 40 to 0.6" in str(report.reason)


@pytest.mark.parametrize(
    "scores",
    [
        (0.61, 0.72, 0.78, 0.79, 0.77, 0.78),
        (0.61, 0.72, 0.78, 0.79, 0.78, 0.6),
        (0.7, 0.79, 0.71, 0.79, 0.72, 0.71),
        (0.91, 0.72, 0.74, 0.86, 0.79, 0.78),
    ],
    ids=["a little", "one that may be chance", "it scatters", "it came back before"],
)
def test_scatter_is_no_fall(scores: tuple[float, ...]) -> None:
    assert report_of(run(scores)).verdict == "healthy"


def test_so_many_rows_scatter_so_far() -> None:
    assert report_of(run(FELL, rows=40)).verdict == "healthy"
    assert report_of(run(FELL, rows=None)).verdict == "healthy"
    known = RunContext(eval_samples=5000)
    assert report_of(run(FELL, rows=None), known).verdict == "inconclusive"


def test_what_is_given_up_for_another_score_is_no_fall() -> None:
    assert report_of(run(FELL, "recall")).verdict == "healthy"
    both = [row | ({"eval_f1": 0.8} if "eval_loss" in row else {}) for row in run(FELL)]
    assert report_of(both).verdict == "healthy"
