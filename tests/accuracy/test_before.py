from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.accuracy import before
from benchmarks.accuracy.before import Figure


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(before, "STORED", tmp_path / "before.json")
    return tmp_path / "before.json"


def test_figures_that_were_kept_stand_beside_todays(stored: Path) -> None:
    before.write({"found": Figure(2, 10, 7.5), "gone": Figure(1, 1)})
    _, kept = before.stored()
    assert kept == {"found": Figure(2, 10, 7.5), "gone": Figure(1, 1)}
    text = "\n".join(before.lines({"found": Figure(9, 10, 3), "new": Figure(0, 5)}))
    assert "| found | 2 of 10 (5.7% to 51.0%), 7.5 | 9 of 10 (59.6% to 98.2%), 3 |" in text
    assert "| new | - | 0 of 5 (0.0% to 43.4%) |" in text


def test_without_figures_of_before_there_is_no_table(stored: Path) -> None:
    assert before.lines({"found": Figure(2, 10)}) == []


def test_the_figures_of_before_are_kept_with_their_commit() -> None:
    commit, kept = before.stored()
    assert commit
    assert all(0 <= figure.hits <= figure.runs for figure in kept.values())
    assert json.loads(before.STORED.read_text())["commit"] == commit
