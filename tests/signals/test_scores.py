from __future__ import annotations

from math import log
from pathlib import Path

import pytest

import sftdiag
from sftdiag.records import EVAL, LogRecord
from sftdiag.signals.scores import Scores


def scores_of(accuracy: float, loss: float) -> Scores:
    scores = Scores()
    scores.take(LogRecord(EVAL, 10, None, {"eval_accuracy": accuracy}), loss)
    return scores


@pytest.mark.parametrize(
    ("accuracy", "loss", "classes"),
    [
        (0.5, log(2), 2),
        (0.59, 0.6806, 2),
        (0.2, 0.7148, 2),
        (0.21, 1.6, 5),
        (0.65, log(2), None),
        (0.5, 0.6, None),
        (0.8, 1.6, None),
        (0.3, 1.6, None),
    ],
)
def test_a_guess_is_a_level_and_an_accuracy(
    accuracy: float, loss: float, classes: int | None
) -> None:
    assert scores_of(accuracy, loss).guesses().get("classes") == classes


TABLE = """| Epoch | Step | Training Loss | Validation Loss | Accuracy |
|---|---|---|---|---|
| 1 | 50 | 0.6951 | 0.6934 | {0} |
| 2 | 100 | 0.6903 | 0.6912 | {1} |
| 3 | 150 | 0.6930 | 0.6905 | {2} |
| 4 | 200 | 0.6921 | 0.6899 | {3} |
| 5 | 250 | 0.6918 | 0.6897 | {4} |
"""


def test_a_table_of_a_classifier_that_guesses_is_not_called_healthy(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(TABLE.format(0.55, 0.55, 0.52, 0.53, 0.55))
    report = sftdiag.analyze(path)
    assert report.verdict == "inconclusive"
    assert report.reason is not None
    assert "guesses among 2 classes" in report.reason
    path.write_text(TABLE.format(0.85, 0.86, 0.87, 0.87, 0.88))
    assert "guesses" not in (sftdiag.analyze(path).reason or "")


def rows(last: float) -> list[dict[str, float]]:
    found = []
    for number in range(1, 11):
        step, part = 100 * number, (number - 1) / 9
        found.append({"step": step, "epoch": number, "loss": 0.693 + 0.02 * (number % 3 - 1)})
        loss = 0.6931 + part * (last - 0.6931)
        found.append({"step": step, "epoch": number, "eval_loss": loss, "eval_accuracy": 0.5})
    return found


@pytest.mark.parametrize(("last", "said"), [(0.689, {"SFT101"}), (0.68, set())])
def test_the_same_scores_widen_what_counts_as_no_move(last: float, said: set[str]) -> None:
    history = rows(last)
    found = sftdiag.analyze({"log_history": history, "max_steps": 1000}).findings
    assert {finding.code for finding in found} == said
    bare = [{name: row[name] for name in row.keys() - {"eval_accuracy"}} for row in history]
    assert sftdiag.analyze({"log_history": bare, "max_steps": 1000}).findings == ()


NO_ANSWER = """| Epoch | Step | Training Loss | Validation Loss | F1 |
|---|---|---|---|---|
| 1 | 10 | 0.6743 | 0.6574 | {0} |
| 2 | 20 | 0.6346 | 0.6476 | {1} |
| 3 | 30 | 0.6217 | 0.6431 | {2} |
"""


def test_a_model_that_finds_no_right_answer_is_not_called_healthy(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(NO_ANSWER.format(0.0, 0.0, 0.0))
    report = sftdiag.analyze(path)
    assert report.verdict == "inconclusive"
    assert report.reason is not None
    assert "exactly 0 at all 3 evaluations" in report.reason
    path.write_text(NO_ANSWER.format(0.0, 0.0, 0.02))
    assert sftdiag.analyze(path).verdict == "healthy"


def test_to_come_down_to_a_guess_is_not_to_have_learned() -> None:
    """Confident guesses cost more than ln 3: what takes that off is no learning."""
    levels = (1.128, 1.113, 1.103, 1.097, 1.093)
    history = [
        {"step": 4 * number, "eval_loss": loss, "eval_accuracy": 0.29}
        for number, loss in enumerate(levels, start=1)
    ]
    report = sftdiag.analyze({"log_history": history, "max_steps": 20})
    assert report.verdict == "inconclusive"
    assert "guesses among 3 classes" in (report.reason or "")
    right = [row | {"eval_accuracy": 0.6} for row in history]
    assert sftdiag.analyze({"log_history": right, "max_steps": 20}).verdict == "healthy"
