"""Faults on real tiny trainers are found before step 1 under their codes; health is silent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import sftdiag

setups = pytest.importorskip("setups", reason="needs the extra trainer")

IN_CI = {
    "messages, prompt trained, LoRA",
    "messages, end of turn outside the marks",
    "text, padding is the end of turn",
    "prompt-completion, most rows dropped",
    "tokens, labels of another row",
    "messages, wrapped packing",
    "messages, answers of other rows",
    "messages, one kind after another",
    "tokens, mask inverted",
    "messages, another end of text",
    "tokens, all masked and dropped",
    "messages, in order",
    "tokens",
    "messages, packed",
    "tokens, Trainer, LoRA",
}
"""One case a family; the others are in the acceptance suite."""


def cases(names: Iterable[str]) -> list[Any]:
    slow = {True: pytest.mark.slow, False: pytest.mark.acceptance}
    return [pytest.param(name, marks=slow[name in IN_CI]) for name in names]


@pytest.mark.parametrize("name", cases(setups.FAULTS))
def test_the_fault_is_found(name: str, tmp_path: Path) -> None:
    code, severity, make = setups.FAULTS[name]
    report = sftdiag.preflight(make(tmp_path))
    found = {finding.code: finding for finding in report.findings}
    assert found[code].severity.label == severity
    assert found[code].causes[0].fixes
    if severity != "info":
        assert report.primary is not None
        worse = {"text, length too short": "SFT408"}.get(name, code)
        assert report.primary.code == worse
    assert not any("please report" in reason for reason in report.skipped.values())


@pytest.mark.parametrize("name", cases(setups.HEALTHY))
def test_health_is_silent(name: str, tmp_path: Path) -> None:
    report = sftdiag.preflight(setups.HEALTHY[name](tmp_path))
    assert [(f.code, f.message) for f in report.findings] == []
    assert not any("please report" in reason for reason in report.skipped.values())


def test_the_suite_is_as_large_as_it_should_be() -> None:
    assert len(setups.FAULTS) >= 20
    assert len(setups.HEALTHY) >= 10
    assert {code for code, _, _ in setups.FAULTS.values()} == {f"SFT4{n:02}" for n in range(1, 24)}
