"""Frameworks, for real, in a venv each: healthy silent, a blow-up stopped, an overfit named.

The venvs are made once, in $SFTDIAG_VENVS or a folder of the cache; a framework that cannot be
installed here is skipped with pip's reason.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.frameworks import FRAMEWORKS, inputs
from benchmarks.frameworks.runs import Ran, own_log, run
from benchmarks.frameworks.venvs import Unavailable

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(3600)]

ROWS = 3
"""Rows of the log after a fault by which the run is stopped."""

QUIET = ("healthy", "info")

each = pytest.mark.parametrize("name", FRAMEWORKS)

_RUNS: dict[tuple[str, str], tuple[Any, Ran]] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frameworks")


def trained(name: str, kind: str, folder: Path) -> tuple[Any, Ran]:
    """Return the framework and its run of a kind, which is made once."""
    if (name, kind) not in _RUNS:
        framework: Any = importlib.import_module(FRAMEWORKS[name])
        try:
            _RUNS[name, kind] = framework, run(framework, kind, folder / name / kind)
        except Unavailable as error:
            pytest.skip(f"cannot be installed: {error}")
    return _RUNS[name, kind]


@each
def test_a_healthy_run_is_left_alone(name: str, folder: Path) -> None:
    _, ran = trained(name, inputs.HEALTHY, folder)
    assert ran.code == 0, ran.console[-2000:]
    assert ran.verdict in QUIET
    assert ran.end["stopped_by"] is None
    assert ran.end["step"] == inputs.STEPS[inputs.HEALTHY]


@each
def test_a_blown_up_run_is_stopped(name: str, folder: Path) -> None:
    _, ran = trained(name, inputs.BLOW_UP, folder)
    by = ran.end["stopped_by"]
    fault = min(finding["onset_step"] for finding in ran.findings if finding["id"] == by)
    assert ran.end["step"] <= fault + ROWS * inputs.LOGGING_STEPS


@each
def test_an_overfit_is_named(name: str, folder: Path) -> None:
    _, ran = trained(name, inputs.OVERFIT, folder)
    assert "SFT201" in {finding["code"] for finding in ran.findings}
    assert ran.end["step"] < inputs.STEPS[inputs.OVERFIT]


@pytest.mark.parametrize("kind", inputs.KINDS)
@each
def test_its_own_log_says_the_same(name: str, kind: str, folder: Path) -> None:
    framework, ran = trained(name, kind, folder)
    report = own_log(framework, ran.folder)
    assert report.verdict == ran.verdict or {report.verdict, ran.verdict} <= set(QUIET)
    primary = report.primary.id if report.primary else None
    assert ran.end["primary_id"] == primary or report.verdict in QUIET


@each
def test_its_settings_are_known(name: str, folder: Path) -> None:
    _, ran = trained(name, inputs.BLOW_UP, folder)
    known = ran.start["context"]
    assert known["learning_rate"] == inputs.RATE[inputs.BLOW_UP]
    assert known["max_length"] == inputs.LENGTH
    names = {
        changed
        for finding in ran.findings
        for cause in finding["causes"]
        for fix in cause["fixes"]
        for changed in fix["changes"]
    }
    assert names
    assert not any(changed.startswith("SFTConfig") for changed in names)
