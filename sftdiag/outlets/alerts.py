"""Alert: a finding, its end or a run's verdict, as the trackers and webhooks take it."""

from __future__ import annotations

from typing import Any

from sftdiag import texts
from sftdiag.findings import Finding, Report, Severity
from sftdiag.report import one_line
from sftdiag.values import Value


class Alert(Value):
    """What is said once.

    Attributes:
        key: what it is about: a code, or ``"verdict"``.
        severity: how much it matters; ``INFO`` when something is over.
        title: one short line.
        text: what was seen, why it matters, what to do; or why it is over.
        step: optimizer steps done.
        content: the finding, or the report's verdict and counts, as JSON.
    """

    key: str
    severity: Severity
    title: str
    text: str
    step: int
    content: dict[str, Any]


def of_finding(finding: Finding, lang: str) -> Alert:
    """Return the alert for a finding that fired, rose or resolved."""
    over = finding.resolved_step
    step = over if over is not None else finding.fired[finding.severity.label]
    words = texts.load(one_line.__file__, "text", lang)
    title = words["over" if over is not None else "alert"].format(
        code=finding.code, name=finding.name, step=step
    )
    severity = Severity.INFO if over is not None else finding.severity
    told = one_line.tell_body(finding, lang)
    return Alert(finding.code, severity, title, told, step, {"finding": finding.to_dict()})


def of_report(report: Report, stopped: str | None) -> Alert:
    """Return the alert for a run's end."""
    verdict = one_line.summary_line(report)
    severities = {"error": Severity.ERROR, "warning": Severity.WARNING}
    content = {
        "verdict": report.verdict,
        "worst": report.worst,
        "primary_id": report.primary_id,
        "findings": [finding.id for finding in report.findings],
    }
    return Alert(
        "verdict",
        severities.get(report.verdict, Severity.INFO),
        f"sftdiag: {verdict}",
        stopped or verdict,
        report.summary.last_step or 0,
        content,
    )
