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
