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


def test_a_closed_output_keeps_the_exit_code(runs: Path) -> None:
    command = f'"{sys.executable}" -m sftdiag analyze "{runs / "overfitting"}" >&-'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


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

    monkeypatch.setattr("sftdiag.cli.analyze.replayed", broken)
    assert main(["analyze", str(runs / "healthy")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_several_formats_go_to_their_files(runs: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / "made" / f"report.{name}" for name in ("json", "sarif", "junit")}
    formats = [part for name, file in files.items() for part in ("--format", f"{name}:{file}")]
    done = call("analyze", str(runs / "overfitting"), "--format", "text", *formats)
    assert done.returncode == 1
    assert "SFT201 eval-loss-rising error" in done.stdout
    assert json.loads(files["json"].read_text())["reports"][0]["primary"] == "SFT201"
    assert json.loads(files["sarif"].read_text())["version"] == "2.1.0"
    assert files["junit"].read_text().startswith("<?xml")


def test_output_names_the_first_formats_file(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    arguments = ("--format", "markdown", "--output", str(file))
    done = call("analyze", str(runs / "healthy"), *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    assert file.read_text(encoding="utf-8").startswith("### 🟢")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "jsn"), "did you mean json?"),
        (("--format", "json:"), "with :FILE to write it"),
        (("--format", "json", "--format", "text"), "two formats would go to standard output"),
        (("--format", "json:a", "--output", "b"), "names its own file"),
        (("--output", "/dev/null/none"), "cannot be written"),
        (("--select", "SFT999"), "see `sftdiag rules`"),
        (("--select", "eval-loss-risin"), "did you mean eval-loss-rising?"),
    ],
)
def test_bad_output_is_one_line(runs: Path, arguments: tuple[str, ...], says: str) -> None:
    done = call("analyze", str(runs / "healthy"), *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_command_that_does_not_exist_names_the_nearest() -> None:
    done = call("analyse", "x")
    assert done.returncode == 2
    assert "did you mean analyze?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_quiet_line_and_all_there_is(runs: Path) -> None:
    quiet = call("analyze", "-q", str(runs / "healthy"), str(runs / "overfitting"))
    assert len(quiet.stdout.splitlines()) == 2
    brief = call("analyze", str(runs / "overfitting")).stdout
    full = call("analyze", "-v", str(runs / "overfitting")).stdout
    assert "Checked, nothing found" in full
    assert "Checked, nothing found" not in brief


def test_a_baseline_lets_known_findings_pass(runs: Path, tmp_path: Path) -> None:
    file, sick = str(tmp_path / "known.json"), str(runs / "overfitting")
    assert call("analyze", sick, "-q", "--write-baseline", file).returncode == 0
    assert call("analyze", sick, "-q", "--baseline", file).returncode == 0
    other = str(runs / "label-mask")
    assert call("analyze", sick, other, "-q", "--baseline", file).returncode == 1
    assert call("analyze", sick, "-q", "--baseline", sick).returncode == 2


def test_a_reader_that_goes_away_leaves_the_exit_code(runs: Path) -> None:
    command = f'"{sys.executable}" -m sftdiag analyze -v "{runs / "overfitting"}" | head -n 1'
    script = f"set -o pipefail; {command} >/dev/null"
    assert subprocess.run(["bash", "-c", script], check=False).returncode == 1


def test_the_command_that_pip_installs_says_what_the_module_says(
    runs: Path, tmp_path: Path
) -> None:
    script, sick = tmp_path / "sftdiag", runs / "overfitting"
    script.write_text("import sys\nfrom sftdiag.__main__ import run\nsys.exit(run())\n")
    done = subprocess.run(
        [sys.executable, str(script), "analyze", str(sick)],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(sftdiag.__file__).parents[1])},
    )
    told = call("analyze", sick)
    assert (done.returncode, done.stdout) == (1, told.stdout)
    assert told.stdout


def test_rules_as_json() -> None:
    listed = json.loads(call("rules", "--format", "json").stdout)
    assert {"code", "name", "severity", "seen_by", "title"} == set(listed[0])
    assert "SFT201" in {rule["code"] for rule in listed}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str) -> None:
    pytest.importorskip("shtab")
    done = call("completion", shell)
    assert done.returncode == 0
    assert "recommend" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("analyze", "--lang", "zh"), "sftdiag analyze：错误：缺少以下参数：PATH"),
        (("analyze", "x", "--lang=zh", "--fail-on", "bad"), "没有选项 'bad'（可选"),
        (("recommend", "--lang", "zh", "--samples", "many"), "'many' 不是有效的 int 值"),
        (("analyze", "x", "--lang", "zh", "--none"), "不认识的参数：--none"),
        (("analyse", "--lang", "zh"), "没有命令 'analyse'"),
        (("analyze", "x", "--lang", "zh", "-q", "-v"), "不能与参数"),
    ],
)
def test_bad_usage_in_chinese(arguments: tuple[str, ...], says: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_every_message_of_argparse_is_one_of_its_own() -> None:
    """Found by their words: another version of Python may write them otherwise."""
    import argparse as module

    from sftdiag import texts
    from sftdiag.cli import usage

    source = Path(module.__file__).read_text(encoding="utf-8")
    for key, message in texts.load(usage.__file__, "usage", "en").items():
        assert message.replace("\n", "\\n") in source, key
