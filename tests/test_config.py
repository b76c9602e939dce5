from __future__ import annotations

from pathlib import Path

import pytest

from sftdiag.api import make_settings, project_settings
from sftdiag.config import Settings, from_environment, is_enabled, load_settings
from sftdiag.errors import ConfigError
from sftdiag.findings import Severity


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert load_settings(str(tmp_path)) == Settings()


def test_the_nearest_file_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.sftdiag]\nlang = "zh"\nfail-on = "warning"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert load_settings(str(inner)) == Settings(fail_on=Severity.WARNING, lang="zh")
    (inner / "sftdiag.toml").write_text('ignore = ["SFT101", "zero-loss"]\n')
    assert load_settings(str(inner)) == Settings(ignore=frozenset({"SFT101", "zero-loss"}))


def test_a_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert load_settings(str(tmp_path)) == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lang = 'fr'", "lang must be one of en, zh; got 'fr'"),
        ("treshold = 3", "unknown setting 'treshold'; expected select, ignore, fail-on, lang"),
        ("fail-on = 'fatal'", "severity must be one of info, warning, error; got 'fatal'"),
        ("ignore = [3]", "ignore must be codes or names"),
        ("lang = 3", "lang must be a string"),
        ("stop-on = 3", "stop_on must be codes or names"),
        ("grace-steps = -1", "grace_steps must be 0 or more, got -1"),
        ("save-on-stop = 'yes'", "save_on_stop must be true or false"),
        ("lang = ", "expected TOML"),
    ],
)
def test_a_bad_file_names_itself_and_the_problem(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "sftdiag.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_settings(str(tmp_path))
    assert str(raised.value).startswith(str(path))
    assert problem in str(raised.value)


VARIABLES = {
    "SFTDIAG_STOP_ON": "error",
    "SFTDIAG_IGNORE": "SFT105, zero-loss",
    "SFTDIAG_FAIL_ON": "warning",
    "SFTDIAG_LANG": "zh",
    "SFTDIAG_GRACE_STEPS": "50",
    "SFTDIAG_SAVE_ON_STOP": "true",
    "SFTDIAG_TRAIN_ON_PROMPT": "0",
}


def test_the_environment_lies_below_file_and_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    seen = load_settings(str(tmp_path))
    assert seen == Settings(
        ignore=frozenset({"SFT105", "zero-loss"}),
        fail_on=Severity.WARNING,
        lang="zh",
        stop_on=frozenset({"error"}),
        grace_steps=50,
        save_on_stop=True,
    )
    (tmp_path / "sftdiag.toml").write_text('lang = "en"\nstop-on = "SFT106"\n')
    below = load_settings(str(tmp_path))
    assert below == seen.replace(lang="en", stop_on=frozenset({"SFT106"}))
    assert make_settings(below, stop_on=()).stop_on == frozenset()


def test_other_words_of_the_environment_are_no_settings() -> None:
    others = {"SFTDIAG_WEBHOOK": "x", "SFTDIAG_STEP": "3", "SFTDIAG_NAME": "a", "HOME": "/"}
    assert from_environment({**others, "SFTDIAG_STOP_ON": " "}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SFTDIAG_LANG", "fr", "lang must be one of en, zh; got 'fr'"),
        ("SFTDIAG_FAIL_ON", "fatal", "severity must be one of info, warning, error"),
        ("SFTDIAG_GRACE_STEPS", "-1", "grace_steps must be 0 or more, got '-1'"),
        ("SFTDIAG_SAVE_ON_STOP", "perhaps", "save_on_stop must be true or false"),
        ("SFTDIAG_STOP_ON", "eror", "eror"),
        ("SFTDIAG_STOPON", "error", "no such setting; did you mean stop_on?"),
    ],
)
def test_a_bad_variable_names_itself_and_the_problem(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        project_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert problem in str(raised.value)


def test_selectors() -> None:
    settings = make_settings(select="SFT1, eval-loss-rising", ignore="SFT107")
    assert settings.reports("SFT101", "train-loss-flat")
    assert settings.reports("SFT201", "eval-loss-rising")
    assert not settings.reports("SFT201", "epoch-staircase")
    assert not settings.reports("SFT107", "zero-loss")


@pytest.mark.parametrize("selector", ["SFT9", "overfiting", "1", ""])
def test_an_unknown_selector_is_refused(selector: str) -> None:
    if not selector:
        assert make_settings(ignore=selector) == Settings()
        return
    with pytest.raises(ConfigError, match="unknown code or name"):
        make_settings(ignore={selector})


@pytest.mark.parametrize("value", [5, 2.5, True])
def test_selectors_of_a_wrong_type_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ConfigError, match="must be codes or names"):
        make_settings(select=value)  # type: ignore[arg-type]
    (tmp_path / "sftdiag.toml").write_text(f"select = {str(value).lower()}\n")
    with pytest.raises(ConfigError, match="must be codes or names"):
        load_settings(str(tmp_path))


def test_an_odd_pyproject_has_no_settings(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 3  # tool.sftdiag\n")
    assert load_settings(str(tmp_path)) == Settings()


@pytest.mark.parametrize(
    ("told", "on"),
    [("", True), ("0", True), ("false", True), ("No", True), ("1", False), ("yes", False)],
)
def test_the_environment_turns_it_off(told: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTDIAG_DISABLE", told)
    assert is_enabled() is on
