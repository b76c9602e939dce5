"""The examples do what their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from sftdiag.checks import CHECKS


def call(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout


def test_check_log(runs: Path) -> None:
    shown = call("examples/check_log.py", runs / "overfitting", code=1)
    assert "verdict: error" in shown
    assert "cause (likely): overfitting" in shown
    assert call("examples/check_log.py", runs / "healthy") == "verdict: healthy\n"


def test_run_health(runs: Path) -> None:
    pytest_call = ("-m", "pytest", "-q", "examples/test_run_health.py", "-p", "no:cacheprovider")
    assert "3 passed" in call(*pytest_call, "--sftdiag-run", runs / "healthy")
    assert "1 failed" in call(*pytest_call, "--sftdiag-run", runs / "label-mask", code=1)


@pytest.mark.slow
def test_finetune_stops_a_sick_run(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    command = ("examples/finetune.py", "--fault", "label-mask", "--stop-on", "error")
    shown = call(*command, "--output", tmp_path, code=1)
    assert f"sftdiag analyze {tmp_path}" in shown
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    # The checks have seen it before step 1; the trainer stops at its first step.
    assert state["global_step"] == 1


def test_the_shipped_logs_are_listed_with_how_they_were_made(runs: Path) -> None:
    readme = (runs / "README.md").read_text()
    names = sorted(path.name for path in runs.iterdir() if path.is_dir())
    assert len(names) == 8
    for name in names:
        assert f"| {name} | `--fault " in readme


def test_the_shipped_logs_hold_what_every_check_said(runs: Path) -> None:
    """A new check has not seen them: they are to be made again, as their README says."""
    for path in runs.glob("*/_sftdiag/preflight.json"):
        said = json.loads(path.read_text())
        assert {*said["ran"], *said["skipped"]} == {check.name for check in CHECKS}, path
