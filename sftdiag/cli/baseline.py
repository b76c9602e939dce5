"""A baseline: findings that a project knows and accepts, so that CI fails for new ones only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sftdiag.errors import ConfigError, SourceError
from sftdiag.findings import Report, Severity
from sftdiag.report.results import current

SCHEMA_VERSION = 1

EXPECTED = "expected a baseline: a JSON object with a list accepted, as --write-baseline writes it"


def read(path: str) -> dict[tuple[str, str], Severity]:
    """Return the accepted findings, (source, name) to the highest severity accepted.

    Raises:
        SourceError: the file cannot be read, or is no baseline.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise SourceError(path, f"not JSON; {EXPECTED}") from None
    entries = content.get("accepted") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise SourceError(path, EXPECTED)
    accepted = {}
    for number, entry in enumerate(entries):
        try:
            key = (str(entry["source"]), str(entry["name"]))
            accepted[key] = Severity.parse(entry["severity"])
        except (TypeError, KeyError, ConfigError):
            what = "an object with source, name and severity (info, warning or error)"
            raise SourceError(path, f"accepted[{number}]: expected {what}") from None
    return accepted


def write(path: str, found: Sequence[Report | Mapping[str, Any]]) -> None:
    """Write what the reports show now as accepted.

    Raises:
        SourceError: there is a file of another kind, or it cannot be written.
    """
    if os.path.exists(path):
        read(path)
    accepted = [
        {"source": report.source, "code": f.code, "name": f.name, "severity": f.severity.label}
        for report in found
        if isinstance(report, Report)
        for f in current(report)
    ]
    content = {"schema_version": SCHEMA_VERSION, "accepted": accepted}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SourceError(path, f"cannot be written: {error.strerror}") from None
