from __future__ import annotations

from pathlib import Path

import pytest

from sftdiag.api import make_settings
from sftdiag.config import Settings, load_settings
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
        ("grace-steps = -1", "grace_steps must be 0 or more steps, got -1"),
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
