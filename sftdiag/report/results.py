"""Results: the reports of one call, what could not be read, and which findings fail it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftdiag.findings import Finding, Report, Severity
from sftdiag.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sftdiag.signals.course import Course


class Results:
    """What ``sftdiag analyze`` found.

    Args:
        found: in the order of the paths; an unreadable one is a ``{"source", "error"}``.
        fail_on: findings of this severity and above fail a run.
        accepted: findings that a baseline accepts, as (source, name), with the highest severity
            that it accepts.
        courses: the series of the reports' runs, where a format draws them.
    """

    def __init__(
        self,
        found: Sequence[Report | dict[str, Any]],
        fail_on: Severity | str = Severity.ERROR,
        accepted: Mapping[tuple[str, str], Severity] | None = None,
        courses: Sequence[Course] = (),
    ) -> None:
        self.found = tuple(found)
        self.fail_on = Severity.parse(fail_on)
        self._accepted = accepted or {}
        self.courses = tuple(courses)

    @property
    def reports(self) -> list[Report]:
        """The runs that could be read."""
        return [report for report in self.found if isinstance(report, Report)]

    @property
    def unreadable(self) -> list[dict[str, Any]]:
        """The paths that could not, each with its ``source`` and ``error``."""
        return [item for item in self.found if not isinstance(item, Report)]

    def accepts(self, report: Report, finding: Finding) -> bool:
        """Return whether the baseline accepts a finding, at this severity."""
        known = self._accepted.get((report.source, finding.name))
        return known is not None and finding.severity <= known

    def failing(self, report: Report) -> list[Finding]:
        """Return the findings that fail a run: not over, not accepted, severe enough."""
        return [f for f in report.at_least(self.fail_on) if not self.accepts(report, f)]


def current(report: Report) -> list[Finding]:
    """Return the findings that are not over, the most severe first, each pattern once."""
    found: dict[str, Finding] = {}
    for finding in report.findings:
        if finding.resolved_step is None:
            found.setdefault(finding.name, finding)
    return sorted(found.values(), key=lambda finding: -finding.severity)


def change_of(finding: Finding) -> str:
    """Return what to change, as one line: the fixes of the best supported causes."""
    from sftdiag.report.advice import advised, fixes_of

    return "; ".join(fixes_of(advised(finding.causes)))
