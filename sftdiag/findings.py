"""The values that leave the library: Detection, Cause, Fix, Finding, Report.

All are frozen and survive a JSON round trip. The JSON form is the stable contract of
``sftdiag analyze --format json``; its version is :data:`SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from importlib import import_module

from sftdiag.errors import ConfigError, UnhealthyRunError
from sftdiag.hints import Any
from sftdiag.seen import Curve as Curve
from sftdiag.seen import RowsSeen as RowsSeen
from sftdiag.seen import StepRows as StepRows
from sftdiag.seen import Summary as Summary
from sftdiag.values import EMPTY, Value, encode

SCHEMA_VERSION = 1

Scalar = float | int | str | bool | None


class Severity(IntEnum):
    """How much a finding matters; ordered, so severities compare.

    ``ERROR``: the run is broken or being wasted, by its own proof. ``WARNING``: the result will
    likely be worse than it could be, or what is seen may be meant. ``INFO``: worth knowing.
    """

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """The name used in JSON, on the command line and in settings."""
        return self.name.lower()

    @classmethod
    def parse(cls, value: object) -> Severity:
        """Return the severity for a label such as ``"warning"``.

        Raises:
            ConfigError: the label is none of ``info``, ``warning``, ``error``.
        """
        if isinstance(value, Severity):
            return value
        try:
            return cls[str(value).upper()]
        except KeyError:
            raise ConfigError(
                f"severity must be one of info, warning, error; got {value!r}"
            ) from None


class Status(Enum):
    """How sure the run's own evidence makes a cause, surest first; no invented percentages."""

    CONFIRMED = 0
    LIKELY = 1
    POSSIBLE = 2
    RULED_OUT = 3


class Detection(Value):
    """What a detector saw change at one record: fired, risen, refreshed or resolved.

    Attributes:
        code: stable code, such as ``"SFT201"``.
        name: the pattern, such as ``"eval-loss-rising"``; a note that says why something is
            normal has its own name under the code of the fault it looks like.
        severity: the severity from this record on.
        step: the step of the record that showed it.
        onset_step: the step at which the pattern began, as far as the log shows.
        series: the metric it was seen in.
        evidence: the numbers behind it, by name.
        resolved: the pattern is over.
        variant: which of the detector's sentences tells it.
    """

    code: str
    name: str
    severity: Severity
    step: int
    onset_step: int
    series: str
    evidence: Mapping[str, Scalar] = EMPTY
    resolved: bool = False
    variant: str = "default"


class Fix(Value):
    """What to change: a sentence, and the settings with their old and new values."""

    text: str
    changes: Mapping[str, tuple[Scalar, Scalar]] = EMPTY


class Cause(Value):
    """A possible cause of a finding with the run's evidence for or against it.

    Attributes:
        because: what led to the status: support, or what rules it out.
        against: what speaks against it without ruling it out.
        missing: evidence that is missing, and how to get it.
        check: code of the check that confirmed it, or None.
    """

    id: str
    name: str
    status: Status
    because: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    check: str | None = None
    fixes: tuple[Fix, ...] = ()


class Finding(Value):
    """A symptom of the run with its causes and fixes, in one language.

    Attributes:
        id: code and the step at which it first fired; unique within a report.
        message: what was seen, with the run's own numbers.
        why: why it matters.
        fired: severity label to the step at which that severity was reached.
        resolved_step: the step at which the pattern was over, or None.
        consequence_of: the id of the finding that explains this one, or None; for what a check
            found, also that of the symptom it is a cause of, with which it is told.
        resolved_because: why it is over where no detector saw it end, or None.
        rows: the training rows behind it, step by step, where a callback kept them.
    """

    id: str
    code: str
    name: str
    severity: Severity
    series: str
    message: str
    why: str
    onset_step: int
    fired_step: int
    fired: Mapping[str, int]
    resolved_step: int | None = None
    consequence_of: str | None = None
    resolved_because: str | None = None
    evidence: Mapping[str, Scalar] = EMPTY
    causes: tuple[Cause, ...] = ()
    rows: tuple[StepRows, ...] = ()

    @property
    def worst(self) -> Severity:
        """The highest severity this finding ever had."""
        return max(Severity.parse(label) for label in self.fired)

    @property
    def by_check(self) -> bool:
        """Whether a check of the rows and arguments found it, not a detector in the log."""
        return any(cause.check == self.code for cause in self.causes)


class Report(Value):
    """The diagnosis of one run.

    Attributes:
        source: the path given, or ``"live"``.
        verdict: ``"healthy"``, ``"info"``, ``"warning"``, ``"error"`` or ``"inconclusive"``;
            counts findings that are not resolved.
        summary: how much of the run the log shows.
        reason: why the verdict is ``inconclusive``, else None.
        primary_id: id of the finding to look at first, or None.
        findings: by importance, the primary one first.
        ran: names of the checks that could judge.
        skipped: names of those that could not, each with the reason.
        rows: the rows that the checks before step 1 looked at.
        curves: the metrics over the run.
        language: ``"en"`` or ``"zh"``: the language of the texts.
        format: how the log was read, such as ``"console"``; None for the Trainer's own log.
        notes: what that format hides of the run, and where its steps are from.
        asked: names of the probes that the model was to be asked for.
        reserved: names of the checks that could not judge what no curve shows later.
    """

    source: str
    verdict: str
    summary: Summary
    reason: str | None = None
    primary_id: str | None = None
    findings: tuple[Finding, ...] = ()
    ran: tuple[str, ...] = ()
    skipped: Mapping[str, str] = EMPTY
    rows: tuple[RowsSeen, ...] = ()
    curves: tuple[Curve, ...] = ()
    language: str = "en"
    format: str | None = None
    notes: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()

    @property
    def worst(self) -> str:
        """The highest severity ever reached, resolved findings included, else the verdict."""
        if self.findings:
            return max(finding.worst for finding in self.findings).label
        return self.verdict

    @property
    def primary(self) -> Finding | None:
        """The finding to look at first, or None."""
        return next((f for f in self.findings if f.id == self.primary_id), None)

    def at_least(self, severity: Severity | str) -> tuple[Finding, ...]:
        """Return the unresolved findings of at least this severity (or its label).

        Raises:
            ConfigError: no such severity.
        """
        threshold = Severity.parse(severity)
        return tuple(
            finding
            for finding in self.findings
            if finding.resolved_step is None and finding.severity >= threshold
        )

    def raise_for(self, severity: Severity | str = Severity.ERROR) -> None:
        """Raise when an unresolved finding has at least this severity.

        Raises:
            UnhealthyRunError, ConfigError: with their messages; no such severity.
        """
        found = self.at_least(severity)
        if found:
            lines = [f"{f.code} {f.name} ({f.severity.label}): {f.message}" for f in found]
            raise UnhealthyRunError("\n".join(lines))

    def __repr__(self) -> str:
        # What pytest shows of a failed `assert report.verdict == "healthy"`.
        primary = f" {self.primary.code} {self.primary.name}" if self.primary else ""
        return f"<Report {self.source}: {self.verdict}{primary}>"

    def __str__(self) -> str:
        # Found by name when asked for: a finding knows nothing of the report that prints it.
        text: str = import_module("sftdiag.report.text").render(self)
        return text.rstrip("\n")

    def show(self) -> None:
        """Print the report: in colour on a terminal, as plain text elsewhere."""
        import_module("sftdiag.report.shown").show(self)

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        html: str = import_module("sftdiag.report.notebook").render(self)
        return html

    def to_dict(self) -> dict[str, Any]:
        """Return one element of ``reports`` in the JSON contract."""
        log = {"log": {"format": self.format, "notes": list(self.notes)}} if self.format else {}
        return {
            "source": self.source,
            "verdict": self.verdict,
            "worst": self.worst,
            "reason": self.reason,
            "primary": self.primary.code if self.primary else None,
            "primary_id": self.primary_id,
            "summary": encode(self.summary),
            "findings": encode(self.findings),
            "checks": {
                "ran": list(self.ran),
                "skipped": dict(self.skipped),
                "rows": encode(self.rows),
                **({"asked": list(self.asked)} if self.asked else {}),
            },
            "curves": encode(self.curves),
            "language": self.language,
            **log,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Rebuild a report from :meth:`to_dict`; raises ValueError where it is none."""
        return super().from_dict({**data, **data.get("checks", {}), **data.get("log", {})})
