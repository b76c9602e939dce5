from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from logs import healthy, overfitting, write_state

import sftdiag


def test_assert_healthy_passes_and_returns_the_report(runs: Path) -> None:
    assert sftdiag.assert_healthy(runs / "healthy").verdict == "healthy"


def test_a_failure_reads_like_a_diagnosis(runs: Path) -> None:
    with pytest.raises(AssertionError) as raised:
        sftdiag.assert_healthy(runs / "overfitting")
    message = str(raised.value)
    for part in (
        "SFT201 eval-loss-rising",
        "error",
        "eval_loss was best at step",
        "num_train_epochs",
    ):
        assert part in message
    assert "┤" not in message


def test_what_does_not_count(runs: Path, tmp_path: Path) -> None:
    sftdiag.assert_healthy(runs / "overfitting", ignore={"SFT201"})
    mild = write_state(tmp_path / "state.json", overfitting(turn=100, rise=0.0008))
    sftdiag.assert_healthy(mild)
    with pytest.raises(AssertionError):
        sftdiag.assert_healthy(mild, fail_on="warning")


def test_states_and_reports_are_taken_too() -> None:
    state = {"log_history": healthy()}
    assert sftdiag.assert_healthy(state).source == "state"
    trainer_state = SimpleNamespace(log_history=overfitting(rise=0.01), max_steps=200)
    report = sftdiag.analyze(trainer_state)
    assert report.verdict == "error"
    with pytest.raises(AssertionError):
        sftdiag.assert_healthy(report)
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT201"):
        report.raise_for("warning")


@pytest.mark.parametrize("wrong", [3, None, ["a"]])
def test_something_else_is_refused(wrong: object) -> None:
    with pytest.raises(sftdiag.SourceError, match="expected a path, a TrainerState or a dict"):
        sftdiag.analyze(wrong)


def test_a_wrong_severity_is_refused(runs: Path) -> None:
    with pytest.raises(sftdiag.ConfigError, match="info, warning, error; got 'fatal'"):
        sftdiag.assert_healthy(runs / "healthy", fail_on="fatal")


def test_a_run_that_cannot_be_judged_passes_unless_a_verdict_is_required() -> None:
    state = {"log_history": [{"step": 1, "loss": 1.0}]}
    sftdiag.assert_healthy(state)
    with pytest.raises(AssertionError, match="cannot judge"):
        sftdiag.assert_healthy(state, require_verdict=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with settings, seen from a folder below it."""
    (tmp_path / "sftdiag.toml").write_text('ignore = ["SFT201"]\nfail-on = "info"\nlang = "zh"\n')
    below = tmp_path / "tests"
    below.mkdir()
    monkeypatch.chdir(below)
    return below


def test_what_is_not_given_comes_from_the_settings_file(project: Path, runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    assert report.language == "zh"
    assert "SFT201" not in {finding.code for finding in report.findings}
    mild = write_state(project / "state.json", overfitting(turn=100, rise=0.0008))
    with pytest.raises(AssertionError, match="SFT201"):
        sftdiag.assert_healthy(mild, ignore=())


def test_what_is_given_wins_over_the_settings_file(project: Path, runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting", ignore=(), lang="en")
    assert (report.language, report.primary and report.primary.code) == ("en", "SFT201")
    mild = write_state(project / "state.json", overfitting(turn=100, rise=0.0008))
    assert sftdiag.assert_healthy(mild, ignore=(), fail_on="error").language == "zh"


def test_a_wrong_settings_file_is_named(project: Path, runs: Path) -> None:
    (project / "sftdiag.toml").write_text('select = ["SFT999"]\n')
    with pytest.raises(sftdiag.ConfigError, match=r"sftdiag\.toml.*SFT999"):
        sftdiag.analyze(runs / "healthy")
