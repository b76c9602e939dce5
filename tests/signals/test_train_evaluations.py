from __future__ import annotations

from typing import Any

import sftdiag


def log(*, callback_first: bool) -> list[dict[str, Any]]:
    """Return the rows of a Trainer whose callback evaluates the train rows after each epoch."""
    rows: list[dict[str, Any]] = []
    for epoch in range(1, 9):
        place = {"epoch": float(epoch), "step": 50 * epoch}
        asked = {"train_loss": 0.6, "train_accuracy": 0.7, "train_runtime": 1.9, **place}
        own = [
            {"loss": 0.7 - 0.05 * epoch, "learning_rate": 2e-5, **place},
            {"eval_loss": 0.5 + 0.1 * abs(epoch - 3), "eval_runtime": 0.3, **place},
        ]
        rows += [asked, *own] if callback_first else [own[0], asked, own[1]]
    closing = {"train_loss": 0.5, "train_runtime": 99.0, "total_flos": 1e15, **place}
    return [*rows, closing]


def test_rows_after_a_callbacks_are_the_runs() -> None:
    report = sftdiag.analyze({"log_history": log(callback_first=True)})
    assert report.summary.records == 16
    assert [finding.code for finding in report.findings] == ["SFT201"]


def test_an_evaluation_after_the_closing_row_is_none_of_the_run() -> None:
    rows = log(callback_first=True)
    rows.append({"eval_loss": 9.0, "step": 400, "epoch": 8.0})
    assert sftdiag.analyze({"log_history": rows}).summary.records == 16
