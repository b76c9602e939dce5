from __future__ import annotations

import json
from math import nan
from pathlib import Path

from logs import train_rows
from syrupy.assertion import SnapshotAssertion

import sftdiag
from sftdiag.findings import SCHEMA_VERSION
from sftdiag.report import json as renderer


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no strict JSON")


def test_the_contract(runs: Path, snapshot: SnapshotAssertion) -> None:
    report = sftdiag.analyze(runs / "overfitting").replace(source="overfitting")
    document = json.loads(renderer.render([report]), parse_constant=refuse)
    document.pop("sftdiag_version")
    for curve in document["reports"][0]["curves"]:
        curve["steps"], curve["values"] = len(curve["steps"]), len(curve["values"])
    assert document == snapshot


def test_strict_json_with_non_finite_numbers() -> None:
    report = sftdiag.analyze({"log_history": train_rows([1.0, nan, nan, nan], grad_norm=nan)})
    document = json.loads(renderer.render([report]), parse_constant=refuse)
    evidence = document["reports"][0]["findings"][0]["evidence"]
    assert evidence["loss"] == "nan"


def test_an_unreadable_path_stands_in_its_place(runs: Path) -> None:
    report = sftdiag.analyze(runs / "healthy")
    document = json.loads(renderer.render([{"source": "x", "error": "y"}, report]))
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["reports"][0] == {"source": "x", "error": "y"}
    assert sftdiag.Report.from_dict(document["reports"][1]) == report
