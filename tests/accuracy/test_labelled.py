from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.accuracy import judges, labelled
from benchmarks.accuracy.ladders import power
from benchmarks.accuracy.ladders.rungs import Cell

FIELDS = ("id", "primary", "alternatives", "warn_expected", "onset_a", "repo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of five runs: of two logs, one lost and one sound, under right and wrong labels."""
    lost = power.made(Cell("NaN after a jump", 30.0, 20, 1, 0)).rows
    sound = [{"step": step, "loss": 3.0 - 0.02 * step, "learning_rate": 1e-4} for step in range(60)]
    (tmp_path / "runs").mkdir()
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        table = csv.DictWriter(file, FIELDS)
        table.writeheader()
        for name, rows, label, warn in (
            ("named-lost", lost, "zero_or_nan", "yes"),
            ("other-label", lost, "overfitting", "yes"),
            ("sound", sound, "healthy", "no"),
            ("missed-flat", sound, "flat_loss", "yes"),
            ("alarmed-lost", lost, "healthy", "no"),
        ):
            state = {"log_history": rows, "global_step": rows[-1]["step"]}
            (tmp_path / "runs" / f"{name}.json").write_text(json.dumps(state))
            row = {"id": name, "primary": label, "warn_expected": warn, "onset_a": "9"}
            table.writerow(row)
    return tmp_path


def told(folder: Path, summary: bool) -> str:
    runs = labelled.load(folder)
    said = {run.name: judges.sftdiag(run) for run in runs}
    return "\n".join(labelled.lines(folder, said, runs, summary))


def test_a_set_is_counted_and_what_is_not_right_is_named(folder: Path) -> None:
    text = told(folder, summary=False)
    assert "5 runs: 3 sick, 2 healthy, 0 that count neither way" in text
    assert "right at the end: 1 of 3" in text
    assert "wrong first diagnosis: 1" in text
    assert "missed, nothing said at any step: 1" in text
    assert "healthy runs alarmed at any step: 1 of 2" in text
    assert "wrong: other-label (overfitting): SFT106@" in text
    assert "missed: missed-flat (flat_loss): nothing" in text
    assert "alarmed: alarmed-lost (healthy): SFT106@" in text
    assert "named-lost" not in text


def test_a_summary_tells_the_same_counts_and_of_no_run(folder: Path) -> None:
    text = told(folder, summary=True)
    assert "right at the end: 1 of 3" in text
    assert not any(name in text for name in ("lost", "flat", "label:", "sound", "SFT"))
