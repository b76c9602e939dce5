"""Monitor: the only wiring, live and offline alike. Records go in, findings come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag import detectors as detectors_package
from sftdiag import texts
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.detectors import DETECTORS, Detector, Skip
from sftdiag.findings import Curve, Detection, Finding, Report, Severity, Summary
from sftdiag.guide import arbitration
from sftdiag.guide.diagnosis import diagnose
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.observations import Outcome
from sftdiag.records import LogRecord, parse_entry
from sftdiag.signals import Signals

MAX_ONSETS = 8
"""Onsets of one pattern reported apart; a pattern that comes and goes more often stays one."""

JUDGES = frozenset({"train-loss-flat", "eval-loss-rising"})
"""The detectors that must be able to judge for a silent log to count as healthy: that nothing was
NaN or 0 says little."""


class _Case:
    """A finding in the making: the newest detection and when each severity was reached."""

    def __init__(self, finding_id: str, detection: Detection) -> None:
        self.id = finding_id
        self.detection = detection
        self.fired: dict[str, int] = {}
        self.resolved_step: int | None = None

    @property
    def claim(self) -> arbitration.Claim:
        """What arbitration looks at."""
        seen = self.detection
        fired = min(self.fired.values())
        return arbitration.Claim(
            self.id, seen.code, seen.severity, seen.onset_step, fired, self.resolved_step
        )


class Monitor:
    """Judges one run.

    Args:
        context: what is known of the run besides its log.
        settings: what to report, and in which language.
        source: where the records come from, for the report.

    Constant work a record and bounded memory. Offline analysis is a replay through a Monitor, so
    it says what the live one would have said at the same record.
    """

    def __init__(
        self,
        context: RunContext | None = None,
        settings: Settings | None = None,
        source: str = "live",
    ) -> None:
        self.settings = settings or Settings()
        self.source = source
        self.signals = Signals(context or RunContext())
        self._start_detectors()
        self._cases: dict[tuple[str, str, str], list[_Case]] = {}
        self._checked = Outcome()

    def take_checks(self, outcome: Outcome) -> tuple[Finding, ...]:
        """Take in what the checks of rows and arguments said; return what they found.

        A later outcome, such as that of an evaluation set, adds to an earlier one.
        """
        # The checks' texts load only for a run that was checked.
        from sftdiag.guide import preflight

        chosen = preflight.selected(outcome, self.settings)
        self._checked = self._checked.joined(chosen)
        return preflight.findings(chosen, self.settings.lang)

    def feed_entry(self, entry: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Take in one row of ``log_history``; see :meth:`feed`."""
        records = parse_entry(entry)
        if len(records) == 1:
            return self.feed(records[0])
        return tuple(finding for record in records for finding in self.feed(record))

    def feed(self, record: LogRecord) -> tuple[Finding, ...]:
        """Take in the next record.

        Returns:
            The findings that fired, rose in severity or resolved with it; nearly always none.
        """
        signals = self.signals
        if not signals.update(record):
            return ()
        changed = self._rewind(record.step) if signals.rewound else []
        for detector in self._detectors if signals.block_closed else self._on_records:
            for detection in detector.update(signals, record):
                if self.settings.reports(detection.code, detection.name):
                    case = self._take(detection)
                    if case is not None:
                        changed.append(case)
        if not changed:
            return ()
        claims = self._claims()
        return tuple(self._finding(case, claims) for case in changed)

    def _start_detectors(self) -> None:
        self._detectors: tuple[Detector, ...] = tuple(kind() for kind in DETECTORS)
        self._on_records = tuple(d for d in self._detectors if not d.blocks_only)

    def _rewind(self, step: int) -> list[_Case]:
        """Start the detectors afresh where a log goes back: what they saw was done again."""
        self._start_detectors()
        active = [case for case in self._all_cases() if case.resolved_step is None]
        for case in active:
            case.resolved_step = step
        return active

    def _all_cases(self) -> list[_Case]:
        return [case for cases in self._cases.values() for case in cases]

    def _claims(self) -> tuple[arbitration.Claim, ...]:
        return tuple(case.claim for case in self._all_cases())

    def _take(self, detection: Detection) -> _Case | None:
        """File a detection; return its case when that is news."""
        key = (detection.code, detection.name, detection.series)
        cases = self._cases.setdefault(key, [])
        case = cases[-1] if cases else None
        if detection.resolved:
            if case is None or case.resolved_step is not None:
                return None
            case.resolved_step = detection.step
            return case
        if case is None or (case.resolved_step is not None and len(cases) < MAX_ONSETS):
            case = _Case(self._new_id(detection), detection)
            cases.append(case)
        reopened = case.resolved_step is not None
        case.resolved_step = None
        case.detection = detection.replace(
            onset_step=case.detection.onset_step,
            severity=max(detection.severity, case.detection.severity),
        )
        label = detection.severity.label
        risen = label not in case.fired and detection.severity >= case.detection.severity
        if risen:
            case.fired[label] = detection.step
        return case if risen or reopened else None

    def _new_id(self, detection: Detection) -> str:
        base = f"{detection.code}@{detection.step}"
        taken = {case.id for case in self._all_cases()}
        if base not in taken:
            return base
        named = f"{base}:{detection.series if detection.series != 'loss' else detection.name}"
        return named if named not in taken else f"{named}:{len(taken)}"

    def _finding(self, case: _Case, claims: tuple[arbitration.Claim, ...]) -> Finding:
        lang = self.settings.lang
        finding = diagnose(case.detection, case.id, case.fired, self.signals, lang)
        return finding.replace(
            resolved_step=case.resolved_step,
            consequence_of=arbitration.explained_by(case.claim, claims),
        )

    def _findings(self) -> tuple[Finding, ...]:
        claims = self._claims()
        found = [self._finding(case, claims) for case in self._all_cases()]
        if self._checked.observations:
            from sftdiag.guide import preflight

            found += preflight.findings(self._checked, self.settings.lang)
        return tuple(sorted(found, key=arbitration.importance))

    def report(self) -> Report:
        """Return the diagnosis so far; valid at any time."""
        findings = self._findings()
        skips = self._skips()
        verdict, reason = self._verdict(findings, skips)
        signals = self.signals
        return Report(
            self.source,
            verdict,
            Summary(
                signals.records,
                signals.first_step,
                signals.last_step if signals.records else None,
                signals.max_steps,
                signals.epoch,
            ),
            reason,
            arbitration.primary(findings),
            findings,
            (*(d.name for d in self._detectors if d.name not in skips), *self._checked.ran),
            {**{name: self._say(skip) for name, skip in skips.items()}, **self._unchecked()},
            self._checked.rows,
            self._curves(),
            self.settings.lang,
        )

    def _skips(self) -> dict[str, Skip]:
        """Return what could not be judged: detectors by their state, other symptoms by nature."""
        skips: dict[str, Skip] = {}
        seen = {detector.code: detector for detector in self._detectors}
        for symptom in SYMPTOMS:
            if not self.settings.reports(symptom.code, symptom.name):
                skips[symptom.name] = Skip("not_selected")
            elif symptom.code not in seen:
                skips[symptom.name] = Skip("needs_model")
            else:
                skip = seen[symptom.code].skip(self.signals)
                if skip is not None:
                    skips[symptom.name] = skip
        return skips

    def _verdict(
        self, findings: tuple[Finding, ...], skips: Mapping[str, Skip]
    ) -> tuple[str, str | None]:
        active = [finding.severity for finding in findings if finding.resolved_step is None]
        worst = max(active, default=None)
        if worst is not None and worst >= Severity.WARNING:
            return worst.label, None
        if not self.signals.records:
            return "inconclusive", self._say(Skip("no_step"))
        if skips.keys() >= JUDGES:
            return "inconclusive", self._say(skips["train-loss-flat"])
        return (worst.label if worst is not None else "healthy"), None

    def _say(self, skip: Skip) -> str:
        words = texts.load(detectors_package.__file__, "skipped", self.settings.lang)
        return str(words[skip.key].format(**skip.values))

    def _unchecked(self) -> dict[str, str]:
        if not self._checked.skipped:
            return {}
        from sftdiag.guide import preflight

        return preflight.skip_reasons(self._checked, self.settings.lang)

    def _curves(self) -> tuple[Curve, ...]:
        signals = self.signals
        series = {"loss": [(block.last_step, block.loss) for block in signals.blocks]}
        for name, points in signals.evaluations.items():
            series[name] = [(point.step, point.loss) for point in points]
        return tuple(
            Curve(name, tuple(step for step, _ in points), tuple(value for _, value in points))
            for name, points in series.items()
            if points
        )
