"""Frameworks, for real, in a venv each: healthy silent, a blow-up stopped, an overfit named.

The venvs are made once, in $SFTDIAG_VENVS or a folder of the cache; a framework that cannot be
installed here is skipped with pip's reason.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.frameworks import FRAMEWORKS, inputs
from benchmarks.frameworks.runs import Ran, own_log, run
from benchmarks.frameworks.venvs import Unavailable
from sftdiag.guide.dialect import COMMON, DIALECTS

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
    framework, ran = trained(name, inputs.OVERFIT, folder)
    code = getattr(framework, "OVERFIT", "SFT201")
    assert code in {finding["code"] for finding in ran.findings}
    if code == "SFT201":
        assert ran.end["step"] < inputs.STEPS[inputs.OVERFIT]


@pytest.mark.parametrize("kind", inputs.KINDS)
@each
def test_its_own_log_says_the_same(name: str, kind: str, folder: Path) -> None:
    framework, ran = trained(name, kind, folder)
    report = own_log(framework, ran.folder)
    if kind in getattr(framework, "HIDES", ()):
        assert report.verdict in QUIET
        return
    assert report.verdict == ran.verdict or {report.verdict, ran.verdict} <= set(QUIET)
    primary = report.primary.id if report.primary else None
    assert ran.end["primary_id"] == primary or report.verdict in QUIET


def test_gradients_that_ms_swift_drops_stop_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SFT106 and SFT112 alone may speak: the loss stays finite, evaluations equal."""
    monkeypatch.setenv("SFTDIAG_SELECT", "SFT106,SFT112")
    framework: Any = importlib.import_module(FRAMEWORKS["ms-swift"])
    try:
        ran = run(framework, inputs.BLOW_UP, folder / "dropped")
    except Unavailable as error:
        pytest.skip(f"cannot be installed: {error}")
    lines = framework.log(ran.folder).read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row]
    steps = [int(row["global_step/max_steps"].split("/")[0]) for row in rows]
    fault = next(s for s, row in zip(steps, rows, strict=True) if math.isnan(row["grad_norm"]))
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert ran.end["stopped_by"].startswith("SFT112@")
    assert ran.end["step"] <= fault + ROWS * inputs.LOGGING_STEPS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (
            "ms-swift",
            "from dataclasses import fields; from swift.arguments import SftArguments as A; "
            "print([f.name for f in fields(A)])",
        ),
        (
            "llamafactory",
            "from dataclasses import fields; from llamafactory import hparams as h; "
            "print([f.name for a in (h.ModelArguments, h.DataArguments, h.TrainingArguments,"
            " h.FinetuningArguments) for f in fields(a)])",
        ),
        (
            "trl",
            "from dataclasses import fields; from trl import ModelConfig, SFTConfig; "
            "print([f.name for a in (ModelConfig, SFTConfig) for f in fields(a)])",
        ),
    ],
)
def test_the_names_in_fixes_are_its_own(name: str, code: str) -> None:
    framework: Any = importlib.import_module(FRAMEWORKS[name])
    try:
        python = framework.python()
    except Unavailable as error:
        pytest.skip(f"cannot be installed: {error}")
    asked = subprocess.run((python, "-c", code), capture_output=True, text=True, check=True)
    known = set(ast.literal_eval(asked.stdout.splitlines()[-1]))
    names = DIALECTS["llama-factory" if name == "llamafactory" else name].names
    own = {text.strip("-").split()[0].rstrip(":") for text in names.values()}
    given = {names.get(common, common) for common in COMMON}
    assert (own | given) - known - {"early_stopping_patience"} == set()


@each
def test_its_settings_are_known(name: str, folder: Path) -> None:
    framework, ran = trained(name, inputs.BLOW_UP, folder)
    known = ran.start["context"]
    assert known["learning_rate"] == inputs.RATE[inputs.BLOW_UP]
    assert known["max_length"] == getattr(framework, "LENGTH", inputs.LENGTH)
    names = {
        changed
        for finding in ran.findings
        for cause in finding["causes"]
        for fix in cause["fixes"]
        for changed in fix["changes"]
    }
    assert names
    # In Unsloth they are set by SFTConfig.
    own = {changed for changed in names if not changed.startswith("SFTConfig")}
    assert own == (set() if name == "unsloth" else names)
