"""GitHub Actions' workflow commands: an annotation a finding, errors first.

GitHub shows the first ten of each level of a step: each rule of a run is told once.
"""

from __future__ import annotations

from sftdiag.findings import Report, Severity
from sftdiag.report.results import Results, change_of, current

LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(results: Results) -> str:
    """Return the commands, one a line; empty where there is nothing to say."""
    lines: list[tuple[int, str]] = []
    for item in results.found:
        if not isinstance(item, Report):
            text = _command("error", item["source"], "sftdiag", item["error"])
            lines.append((-Severity.ERROR, text))
            continue
        for finding in current(item):
            accepted = results.accepts(item, finding)
            level = "notice" if accepted else LEVELS[finding.severity]
            change = change_of(finding)
            told = finding.message + (f"\n{change}" if change else "")
            title = f"{finding.code} {finding.name}"
            order = 0 if accepted else -finding.severity
            lines.append((order, _command(level, item.source, title, told)))
    lines.sort(key=lambda line: line[0])
    return "".join(f"{line}\n" for _, line in lines)


def _command(level: str, file: str, title: str, message: str) -> str:
    return f"::{level} file={_property(file)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
