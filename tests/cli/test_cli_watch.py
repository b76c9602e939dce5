"""``sftdiag watch``: a run in another process, whose log grows, is rotated or begins again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logs import healthy, overfitting, write_state

from sftdiag import analyze
from sftdiag.cli.main import main
from sftdiag.cli.watched import Watched
from sftdiag.config import Settings
from sftdiag.sources import open_run
from sftdiag.sources.steps import LIKELY_SPACING

ROWS = overfitting()
SICK, WELL = "SFT201", "healthy"


def call(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sftdiag", "watch", *map(str, arguments), "--every", "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, input=text, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def printed(rows: list[dict[str, Any]]) -> str:
    names = ("loss", "learning_rate", "epoch")
    return "".join(str({name: row[name] for name in names if name in row}) + "\n" for row in rows)


def watched(path: Path, **how: Any) -> Watched:
    return Watched(str(path), open_run, Settings(), **how)


def test_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(ROWS))
    assert main(["watch", str(path), "--once"]) == 1
    assert SICK in capsys.readouterr().out
    path.write_text(lines(healthy()))
    assert main(["watch", str(path), "--once"]) == 0
    assert WELL in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "no"), "--once"]) == 2


@pytest.mark.parametrize("option", ["--every", "--stall"])
@pytest.mark.parametrize("given", ["-1", "0", "nan", "inf", "soon"])
def test_a_time_is_above_0(option: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "log.jsonl", option, given]) == 2
    assert f"argument {option}: invalid seconds value: '{given}'" in capsys.readouterr().err


def test_standard_input_ends_the_watch() -> None:
    done = call("-", text=lines(ROWS))
    assert done.returncode == 1
    assert f"error {SICK} eval-loss-rising, step" in done.stdout
    assert call("-", text=lines(healthy())).returncode == 0
    assert call("-", text="hello\n").returncode == 2


def test_until_and_exec(tmp_path: Path) -> None:
    path, flag = tmp_path / "log.jsonl", tmp_path / "flag"
    path.write_text(lines(ROWS))
    command = f'echo "$SFTDIAG_CODE $SFTDIAG_SEVERITY" > {flag}'
    done = call(path, "--until", "error", "--exec", command)
    assert done.returncode == 1
    assert flag.read_text() == f"{SICK} error\n"


def test_a_run_that_is_still_to_come_grows_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "sftdiag", "watch", str(path), "--every", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        with open(path, "w") as file:
            for row in ROWS:
                file.write(json.dumps(row) + "\n")
                file.flush()
                time.sleep(0.002)
            end = {"step": 200, "train_runtime": 1.0, "train_loss": 1.0}
            file.write(json.dumps(end) + "\n")
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert "no such file" in first
    assert "read as jsonl" in said
    assert last == f"{path}: error · {SICK} eval-loss-rising"


def test_each_thing_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    run, said = watched(path), []
    for count in range(20, len(ROWS), 10):
        path.write_text(lines(ROWS[:count]))
        run._next = 0.0
        run.look()
        said += [(finding.id, finding.severity.label) for finding in run.news()]
    assert [severity for _, severity in said] == ["warning", "error"]


def test_half_a_line_and_half_a_state_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    text = lines(ROWS)
    path.write_text(text[:-20])
    run = watched(path)
    assert run.look()
    state = write_state(tmp_path / "trainer_state.json", ROWS)
    whole, other = state.read_text(), watched(state)
    assert other.look()
    state.write_text(whole[: len(whole) // 2])
    other._next = 0.0
    assert not other.look()
    assert other.report is not None
    assert other.report.primary is not None
    state.write_text(whole + " ")
    other._next = 0.0
    assert other.look()
    assert other.error is None


def grown(folder: Path, text: Any, rows: list[dict[str, Any]], first: int) -> Iterator[Watched]:
    """Yield the watch of a log at each look: it grows, is rotated at ``first`` and again later."""
    path = folder / "run.log"
    run = watched(path)
    for start, ends in ((0, [5, first]), (first, [130, 150]), (150, [170, len(rows)])):
        if start:
            path.rename(folder / f"run.log.{start}")
        for end in ends:
            path.write_text(text(rows[start:end]))
            run._next = 0.0
            assert run.look()
            assert run.report is not None
            assert run.report.summary.records == end
            assert not run.began_again
            yield run


def test_a_rotated_log_goes_on(tmp_path: Path) -> None:
    first = next(index for index, row in enumerate(ROWS) if "eval_loss" in row)
    *_, run = grown(tmp_path, lines, ROWS, first)
    assert run.report is not None
    whole = tmp_path / "whole.jsonl"
    whole.write_text(lines(ROWS))
    assert run.report.findings == analyze(whole).findings


def test_a_rotated_console_without_steps_goes_on(tmp_path: Path) -> None:
    rows = [row for row in ROWS if "loss" in row]
    looks = grown(tmp_path, printed, rows, first=90)
    steps = [run.report.summary.last_step for run in looks if run.report is not None]
    assert steps == [LIKELY_SPACING * end for end in (5, 90, 130, 150, 170, len(rows))]


def test_a_run_that_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(ROWS))
    run = watched(path)
    run.look()
    path.write_text(lines(healthy()[:50]))
    run._next = 0.0
    assert run.look()
    assert run.began_again
    assert run.report is not None
    assert run.report.primary is None


def test_a_stall_is_said_once_and_the_end_is_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(ROWS))
    run = watched(path, stall=0.01)
    run.look()
    time.sleep(0.02)
    assert run.stalled() is not None
    assert run.stalled() is None
    path.write_text(lines([*ROWS, {"step": 200, "train_runtime": 1.0}]))
    ended = watched(path, stall=0.0)
    ended.look()
    assert ended.done
    assert ended.stalled() is None


def test_a_tree_of_runs(tmp_path: Path) -> None:
    write_state(tmp_path / "a" / "trainer_state.json", ROWS)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.log").write_text(lines(healthy()).replace('"', "'"))
    done = call(tmp_path, "--once")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == [
        f"{tmp_path / 'a'}: error · {SICK} eval-loss-rising",
        f"{tmp_path / 'b' / 'train.log'}: healthy. The checks that could run found no fault.",
    ]


def test_the_time_that_is_left(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    run = watched(path)
    for count in (40, 80):
        write_state(path, ROWS[:count], max_steps=200)
        run._next = 0.0
        run.look()
        time.sleep(0.05)
    assert run.seconds_left is not None
    assert 0.0 <= run.seconds_left < 60.0
