"""The examples do what their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import sftdiag
from sftdiag.checks import CHECKS


def call(*arguments: object, code: int = 0, errors: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stderr + done.stdout if errors else done.stdout


def test_check_log(runs: Path) -> None:
    shown = call("examples/check_log.py", runs / "overfitting", code=1)
    assert "verdict: error" in shown
    assert "cause (likely): overfitting" in shown
    assert call("examples/check_log.py", runs / "healthy") == "verdict: healthy\n"


def test_loop(tmp_path: Path) -> None:
    assert call("examples/loop.py", "--output", tmp_path / "well") == "step 400: healthy\n"
    blown = ("examples/loop.py", "--blow-up-at", 205, "--output", tmp_path / "blown")
    assert call(*blown, code=1) == "step 220: error\n"
    page = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
    console = page.partition("<!-- console of examples/loop.py -->")[2].partition("<!-- end")[0]
    assert console.strip("`\n") == call(*blown, code=1, errors=True).strip()
    assert sftdiag.analyze(tmp_path / "well").verdict == "healthy"
    assert sftdiag.analyze(tmp_path / "blown").primary_id == "SFT104@220"


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
