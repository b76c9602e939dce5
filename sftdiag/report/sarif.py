"""SARIF 2.1.0 (OASIS): findings as code scanning and editors read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sftdiag.findings import Finding, Report, Severity
from sftdiag.report.results import Results, change_of, current
from sftdiag.version import __version__

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(results: Results) -> str:
    """Return a SARIF log with one run; what a baseline accepts is suppressed."""
    seen = [(report, finding) for report in results.reports for finding in current(report)]
    rules: dict[str, Finding] = {}
    for _, finding in seen:
        rules.setdefault(finding.name, finding)
    index = {name: number for number, name in enumerate(rules)}
    notices = [
        {
            "level": "error",
            "message": {"text": item["error"]},
            "locations": [_location(item["source"])],
        }
        for item in results.unreadable
    ]
    run = {
        "tool": {
            "driver": {
                "name": "sftdiag",
                "version": __version__,
                "rules": [_rule(finding) for finding in rules.values()],
            }
        },
        "invocations": [
            {"executionSuccessful": not notices, "toolExecutionNotifications": notices}
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(results, report, f, index[f.name]) for report, f in seen],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.code if finding.causes else f"{finding.code}/{finding.name}",
        "name": "".join(part.capitalize() for part in finding.name.split("-")),
        "shortDescription": {"text": finding.name.replace("-", " ")},
        "fullDescription": {"text": finding.why},
        "help": {"text": f"{finding.why}\n\nsftdiag explain {finding.code}"},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
    }


def _result(results: Results, report: Report, finding: Finding, index: int) -> dict[str, Any]:
    change = change_of(finding)
    text = f"{finding.message} {finding.why}" + (f" -> {change}" if change else "")
    same = hashlib.sha256(f"{report.source}\n{finding.name}".encode()).hexdigest()
    found = {
        "ruleId": _rule(finding)["id"],
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [_location(report.source)],
        "partialFingerprints": {"sftdiag/v1": same},
        "properties": {
            "onset_step": finding.onset_step,
            "fired_step": finding.fired_step,
            "series": finding.series,
            "primary": finding.id == report.primary_id,
        },
    }
    if results.accepts(report, finding):
        found["suppressions"] = [{"kind": "external", "status": "accepted"}]
    return found


def _location(source: str) -> dict[str, Any]:
    # A log has no line that would say more than another: its first stands for the whole.
    path = Path(source)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    region = {"startLine": 1}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
