"""A finding carries the rows it was seen in; the bad ones come first, and text stays on screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.cli.main import main

poison = pytest.importorskip("benchmarks.guard.poison", reason="needs the extra trainer")

STEP = 70


@pytest.fixture(scope="module")
def spiked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, sftdiag.DiagnosticsCallback]:
    """A run with a spike; its rows have been measured."""
    folder = tmp_path_factory.mktemp("spiked")
    trainer = poison.make(poison.GARBAGE, folder, steps=(STEP,))
    callback = sftdiag.attach(trainer, ignore=["SFT4"])
    trainer.train()
    trainer.save_state()
    return trainer, callback


def test_the_rows_of_a_spike_are_told_with_their_losses(spiked: Any) -> None:
    _, callback = spiked
    (spike,) = callback.report.findings
    assert (spike.code, spike.onset_step) == ("SFT105", STEP)
    (rows,) = spike.rows
    assert (rows.step, rows.rank) == (STEP, 0)
    assert list(rows.rows) == poison.poisoned_rows(poison.GARBAGE, STEP)
    assert min(rows.losses) > 4 * rows.usual
    assert f"rows of step {STEP} (epoch 0.875): 552, 553" in str(callback.report)
    assert "most surprising" in str(callback.report)


def test_offline_says_the_same_and_no_file_holds_text(spiked: Any) -> None:
    trainer, callback = spiked
    folder = Path(trainer.args.output_dir)
    assert sftdiag.analyze(folder).findings == callback.report.findings
    words = ("lamp", "door", "kite")
    told = json.dumps(callback.report.to_dict())
    kept = [file.read_bytes().decode("utf-8", "replace") for file in folder.rglob("*.json*")]
    assert len(kept) >= 4
    assert not any(word in text for word in words for text in (told, *kept))


def test_they_are_shown_with_their_text(spiked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, callback = spiked
    capsys.readouterr()
    callback.rows(callback.report.findings[0])
    shown = capsys.readouterr().out.splitlines()
    losses = [float(line.split("loss ")[1].split()[0]) for line in shown if line.startswith("row")]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == poison.BATCH
    assert sum("what colour has the" in line for line in shown) == poison.BATCH
    with pytest.raises(
        sftdiag.ConfigError, match="no finding SFT105@1 in this run; it has: SFT105"
    ):
        callback.rows("SFT105@1")


def test_the_command_line_shows_them(
    spiked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, callback = spiked
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": f"this is row {i}"}) for i in range(len(trainer.train_dataset))]
    data.write_text("\n".join(lines))
    wanted = ["rows", trainer.args.output_dir, "--finding", callback.report.findings[0].id]
    capsys.readouterr()
    assert main([*wanted, "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert all(f"this is row {i}" in shown for i in range(552, 560))
    # Numbers of what was trained on say nothing of a file with other rows.
    data.write_text("\n".join(lines[:-1]))
    assert main([*wanted, "--data", str(data), "--lang", "zh"]) == 0
    captured = capsys.readouterr()
    assert "this is row" not in captured.out
    assert "640" in captured.err
    assert main(["rows", trainer.args.output_dir, "--finding", "SFT999@1"]) == 2


@pytest.mark.parametrize("kind", [poison.NAN, poison.OVERFLOW])
def test_a_nan_names_the_batch_that_it_came_from(kind: str, tmp_path: Path) -> None:
    trainer = poison.make(kind, tmp_path, steps=(25,), max_steps=30)
    callback = sftdiag.attach(trainer)
    trainer.train()
    found = callback.report.primary
    assert (found.code, found.onset_step) == ("SFT106", 25)
    assert set(poison.poisoned_rows(kind, 25)) <= set(found.rows[0].rows)
    assert [rows.step for rows in found.rows] == [25, 24]
