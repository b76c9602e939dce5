"""The command line as a user calls it: whole processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from logs import overfitting, train_rows, write_state

import sftdiag
from sftdiag.cli.main import main


def call(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sftdiag", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("healthy", (), 0),
        ("overfitting", (), 1),
        ("overfitting", ("--ignore", "SFT201"), 0),
        ("overfitting", ("--select", "SFT1"), 0),
        ("overfitting", ("--select", "eval-loss-rising"), 1),
        ("healthy", ("--require-verdict",), 0),
        ("healthy", ("--fail-on", "info"), 0),
    ],
)
def test_exit_codes(runs: Path, name: str, arguments: tuple[str, ...], code: int) -> None:
    assert call("analyze", runs / name, *arguments).returncode == code


def test_fail_on_warning(tmp_path: Path) -> None:
    path = write_state(tmp_path / "state.json", overfitting(turn=100, rise=0.0008))
    assert call("analyze", path).returncode == 0
    assert call("analyze", path, "--fail-on", "warning").returncode == 1


def test_inconclusive_is_0_unless_a_verdict_is_required(tmp_path: Path) -> None:
    path = write_state(tmp_path / "state.json", train_rows([1.0]))
    assert call("analyze", path).returncode == 0
    assert call("analyze", path, "--require-verdict").returncode == 3


def test_unreadable_paths_do_not_stop_the_others(runs: Path, tmp_path: Path) -> None:
    done = call("analyze", tmp_path / "no", runs / "healthy", "--format", "json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"sftdiag: {tmp_path / 'no'}: ")
    first, second = json.loads(done.stdout)["reports"]
    assert set(first) == {"source", "error"}
    assert second["verdict"] == "healthy"


def test_a_folder_of_runs_is_reported_run_by_run(runs: Path) -> None:
    reports = json.loads(call("analyze", runs, "--format", "json").stdout)["reports"]
    assert [Path(report["source"]).name for report in reports] == sorted(
        path.name for path in runs.iterdir() if path.is_dir()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("analyze",),
        ("nonsense",),
        ("analyze", "x", "--format", "yaml"),
        ("analyze", "x", "--lang", "fr"),
        ("analyze", "x", "--ignore", "SFT999"),
        ("analyze", "x", "--select", "overfiting"),
        ("explain", "SFT999"),
        ("explain",),
    ],
)
def test_bad_usage(arguments: tuple[str, ...]) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "sftdiag" in done.stderr


def test_settings_of_the_folder_are_used_and_arguments_win(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "sftdiag.toml").write_text('lang = "zh"\nignore = ["SFT2"]\n')
    done = call("analyze", runs / "overfitting", cwd=tmp_path)
    assert done.returncode == 0
    assert "健康" in done.stdout
    done = call("analyze", runs / "overfitting", "--lang", "en", "--ignore", "SFT101", cwd=tmp_path)
    assert done.returncode == 1
    assert "overfitting" in done.stdout


def test_bad_settings_are_one_line(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "sftdiag.toml").write_text("treshold = 1\n")
    done = call("analyze", runs / "healthy", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_version() -> None:
    assert call("--version").stdout == f"sftdiag {sftdiag.__version__}\n"


def test_explain_and_rules() -> None:
    assert "20" in call("explain", "sft201").stdout
    assert "过拟合" in call("explain", "eval-loss-rising", "--lang", "zh").stdout
    assert call("rules").stdout.startswith("SFT101  train-loss-flat")


def test_a_reader_that_goes_away(runs: Path) -> None:
    command = f"{sys.executable} -m sftdiag analyze {runs} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "environment", [{"COLUMNS": "abc"}, {"COLUMNS": "40"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_odd_terminals(runs: Path, environment: dict[str, str]) -> None:
    command = [
        sys.executable,
        "-m",
        "sftdiag",
        "analyze",
        str(runs / "overfitting"),
        "--lang",
        "zh",
    ]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 1
    assert done.stderr == b""


def test_an_error_of_our_own_is_one_line_and_no_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("sftdiag.cli.analyze.replay", broken)
    assert main(["analyze", str(runs / "healthy")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
