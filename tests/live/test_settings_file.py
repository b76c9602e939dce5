"""What the callback, preflight and smoke_test take from sftdiag.toml and pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")

from drive import Drive
from logs import overfitting

import sftdiag
from sftdiag.findings import Severity
from sftdiag.policy import Policy, Rule

FILE = """
[tool.sftdiag]
ignore = ["SFT105"]
lang = "zh"
grace-steps = 150
save-on-stop = true
raise-on = "error"

[tool.sftdiag.stop-on]
SFT201 = "info"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose script is started in a folder below it."""
    (tmp_path / "pyproject.toml").write_text(FILE)
    below = tmp_path / "training"
    below.mkdir()
    monkeypatch.chdir(below)
    return below


def test_the_callback_takes_what_it_is_not_given(folder: Path) -> None:
    callback = sftdiag.DiagnosticsCallback()
    assert callback.policy == Policy(
        stop_on=Rule(selected={"SFT201": Severity.INFO}),
        raise_on=Rule(Severity.ERROR),
        grace_steps=150,
        save_on_stop=True,
    )
    assert callback.settings.ignore == {"SFT105"}
    assert callback.settings.lang == "zh"


def test_what_is_given_wins(folder: Path) -> None:
    callback = sftdiag.DiagnosticsCallback(
        stop_on="warning", raise_on=(), ignore=(), grace_steps=0, save_on_stop=False, lang="en"
    )
    assert callback.policy == Policy(stop_on=Rule(Severity.WARNING))
    assert callback.settings.ignore == frozenset()
    assert callback.settings.lang == "en"


def test_a_run_is_stopped_as_the_file_says(folder: Path) -> None:
    """SFT201 fires at step 100; the grace period ends at 150."""
    drive = Drive(folder / "run", sftdiag.DiagnosticsCallback(raise_on=()), max_steps=200)
    drive.run(overfitting(rise=0.02))
    assert drive.state.global_step == 150


@pytest.mark.parametrize(
    "wrong", ["ignore = ['SFT999']", "stop-on = ['SFT999']", "stop-on = {SFT201 = 'x'}", "a = 1"]
)
def test_a_wrong_file_is_refused_before_training(folder: Path, wrong: str) -> None:
    (folder / "sftdiag.toml").write_text(wrong)
    with pytest.raises(sftdiag.ConfigError, match=r"sftdiag\.toml: "):
        sftdiag.DiagnosticsCallback()
    assert not sftdiag.DiagnosticsCallback(enabled=False).enabled


@pytest.mark.slow
def test_a_prompt_trained_on_purpose(folder: Path) -> None:
    """As the fix of SFT405 says: in the file, or as an argument, which wins."""
    setups: Any = pytest.importorskip("setups", reason="needs the extra trainer")
    (folder / "sftdiag.toml").write_text("train-on-prompt = true")
    code, _, make = setups.FAULTS["messages, prompt trained, LoRA"]
    trainer = make(folder / "run")
    assert code not in {finding.code for finding in sftdiag.preflight(trainer).findings}
    callback = sftdiag.DiagnosticsCallback(train_on_prompt=False)
    assert (
        callback.settings.train_on_prompt,
        sftdiag.DiagnosticsCallback().settings.train_on_prompt,
    ) == (False, True)
    told = sftdiag.preflight(trainer, train_on_prompt=False).findings
    assert code in {finding.code for finding in told}
