"""Every check of the table, by itself: documented, explained, total, and without text of rows."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import sftdiag.checks
from sftdiag.checks import CHECKS, Check, Inputs, run_checks
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.guide import preflight as guide
from sftdiag.guide.catalogue import explain
from sftdiag.observations import Skip
from sftdiag.samples import Sample, Split

FOLDER = Path(sftdiag.checks.__file__).parent

each = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def source(check: Check) -> str:
    return (FOLDER / f"{check.name.replace('-', '_')}.py").read_text(encoding="utf-8")


def words(check: Check) -> dict[str, dict[str, str]]:
    path = FOLDER / f"{check.name.replace('-', '_')}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["en"]


def test_the_table_is_the_folder() -> None:
    modules = {path.stem for path in FOLDER.glob("[a-z]*.py")} - {"base"}
    assert modules == {check.name.replace("-", "_") for check in CHECKS}
    codes = [check.code for check in CHECKS]
    assert codes == sorted(codes)
    assert len(set(codes)) == len(codes)


@each
def test_it_is_documented(check: Check) -> None:
    document = __import__(type(check).__module__, fromlist=["x"]).__doc__
    assert document.startswith(f"{check.code} {check.name}: ")
    for part in ("Sees: ", "Cannot see: ", ">>> ", "References:"):
        assert part in document


@each
def test_every_sentence_is_there_and_used(check: Check) -> None:
    quoted = set(re.findall(r'"([a-z_0-9]+)"', source(check)))
    assert set(words(check)["seen"]) - {"default"} <= quoted
    assert set(words(check)["fixes"]) <= quoted
    fixes = set(re.findall(r'FixText\(\s*"([a-z_0-9]+)"', source(check)))
    assert fixes <= set(words(check)["fixes"])
    reasons = tomllib.loads((FOLDER / "skipped.toml").read_text(encoding="utf-8"))["en"]
    assert set(re.findall(r'Skip\(\s*"([a-z_0-9]+)"', source(check))) <= set(reasons)


@each
def test_its_fixes_read_the_same_without_a_run(check: Check) -> None:
    assert not re.search("[{][a-z_]", explain(check.code, "en"))
    assert explain(check.code, "en") == explain(check.name, "en")


@each
@pytest.mark.parametrize(
    "inputs",
    [
        Inputs(),
        Inputs(RunContext(method="lora", learning_rate=1e-4)),
        Inputs(train=Split("train", unseen=Skip("streaming"))),
        Inputs(train=Split("train", (Sample((), ()),), 1)),
        Inputs(train=Split("train", (Sample((1,), (1,)), Sample((2, 3), (-100, -100))), 2)),
    ],
)
def test_it_says_something_of_anything(check: Check, inputs: Inputs) -> None:
    found = check.look(inputs)
    if isinstance(found, Skip):
        assert guide.skip_reasons(run_checks(inputs), "en")[check.name]
        return
    for observation in found:
        assert (observation.code, observation.name) == (check.code, check.name)
        assert Severity.INFO <= observation.severity <= check.severity
        assert observation.cause in check.causes


def test_a_check_that_fails_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(inputs: Inputs) -> None:
        raise KeyError("canary")

    monkeypatch.setattr(CHECKS[0], "look", broken)
    outcome = run_checks(Inputs())
    assert outcome.skipped[CHECKS[0].name] == Skip("failed", {"error": "KeyError"})
    assert "canary" not in json.dumps(outcome.to_dict())
