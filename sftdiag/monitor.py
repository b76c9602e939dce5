"""Monitor: the only wiring, live and offline alike. Records go in, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sftdiag import detectors as detectors_package
from sftdiag import texts
from sftdiag.cases import Case, Cases
from sftdiag.checked import Checked
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.detectors import (
    DETECTORS,
    Detector,
    Skip,
    ends_lost,
    has_learned,
    none_right,
    rate_beyond_any,
    repeats_itself,
    scores_fell,
    stands_high,
)
from sftdiag.detectors._stretches import Stretches
from sftdiag.findings import Detection, Finding, Report, Severity, StepRows, Summary
from sftdiag.guide import arbitration
from sftdiag.guide.symptoms import NAMES
from sftdiag.hints import TYPE_CHECKING, Any
from sftdiag.observations import Outcome
from sftdiag.records import ASIDE, PROBE, TRAIN, Entries, LogRecord, as_step, objective_of
from sftdiag.signals.curves import curves
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.rows import Lines
from sftdiag.signals.stream import Signals
from sftdiag.sources.journal import Segment
from sftdiag.unjudged import unjudged

if TYPE_CHECKING:
    from sftdiag.probes import Probe

LEARNING = "train-loss-flat"
"""The detector that must be able to see that nothing was learned, or learning itself must be seen,
for a silent log to count as healthy: that nothing was NaN or 0 says little."""


class Monitor:
    """Judges one run.

    Args:
        context: what is known of the run besides its log.
        settings: what to report, and in which language.
        source: where the records come from, for the report.
        on_fault: called with a detector's name and its exception; the detector is off from then
            on. None lets the exception through.

    Constant work a record and bounded memory. Offline analysis is a replay through a Monitor, so
    it says what the live one would have said at the same record.
    """

    def __init__(
        self,
        context: RunContext | None = None,
        settings: Settings | None = None,
        source: str = "live",
        on_fault: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.source = source
        self._on_fault = on_fault
        self._broken: dict[str, str] = {}
        self._earlier: list[Signals] = []
        self.signals = Signals(context or RunContext())
        self._start_detectors()
        self._cases = Cases()
        self._checks = Checked(self.settings)
        self._asked = False
        self._blind: Skip | None = None
        self._other: str | None = None
        self._entries = Entries()
        self._probes: tuple[Probe, ...] = ()

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Have one that has taken nothing in made anew, since a compiled core is not pickled.

        A trainer is pickled with its callbacks before it trains, as by a search with Ray.
        """
        untouched = not (self.signals.records or self._cases.all or self._checks.outcome.ran)
        if not untouched:
            return super().__reduce__()
        made_of = (self.signals.context, self.settings, self.source, self._on_fault)
        return type(self), made_of

    @property
    def checked(self) -> Outcome:
        """What the checks of rows and arguments said so far."""
        return self._checks.outcome

    def take_checks(self, outcome: Outcome) -> tuple[Finding, ...]:
        """Take in what the checks said; return what they found that is new."""
        if outcome.easy_answers is not None:
            self.signals.easy_answers = outcome.easy_answers
        found = self._spoken(self._checks.take(outcome))
        self.signals.warned = self._checks.warned
        return found

    def take_checkpoints(self, steps: Iterable[int]) -> None:
        """Take in of which steps there are checkpoints now: fixes name the one to go back to."""
        self.signals.checkpoints = tuple(steps)

    def take_rows(self, rows: Iterable[StepRows]) -> None:
        """Take in which training rows steps were made of."""
        self._cases.take_rows(rows)

    def steps_wanted(self) -> tuple[int, ...]:
        """Return the steps whose rows a finding would carry if they were known."""
        return self._cases.steps_wanted()

    def learn(self, known: RunContext) -> tuple[Finding, ...]:
        """Take in what became known of the run while it trains; return what that shows."""
        self.signals.context = self.signals.context.filled_from(known)
        changed: list[Case] = []
        for detector in self._detectors:
            try:
                detections = detector.learned(self.signals)
            except Exception as fault:
                self._break(detector.code, fault)
            else:
                changed += self._filed(detections)
        return self._told(changed) if changed else ()

    def feed_entry(self, entry: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Take in one row of ``log_history``; see :meth:`feed`."""
        records = self._records(entry)
        if len(records) == 1:
            return self.feed(records[0])
        return tuple(f for record in records for f in self.feed(record))

    def feed_entries(
        self, entries: Sequence[Mapping[str, Any]] | Lines
    ) -> Iterator[tuple[Finding, ...]]:
        """Take in rows of ``log_history`` one after another; see :meth:`feed`.

        Yields:
            What each changed, before the next is taken in. Rows that change nothing are taken in
            many at once, to the same state.
        """
        for entry in (stretches := Stretches(entries)):
            taken = stretches.taken(self.signals, self._on_rows)
            yield () if taken else self.feed_entry(entry)

    def lose_sight(self, error: str) -> None:
        """Note that no further row is seen, since something failed inside sftdiag.

        Args:
            error: what, in a line.
        """
        self._blind = Skip("lost", {"error": error})

    def _records(self, entry: Mapping[str, Any]) -> tuple[LogRecord, ...]:
        # Later rows may be taken in many at once; the first of a log, which name the loss, are not.
        records = self._entries.parse(entry)
        if not records and self._other is None and isinstance(entry, Mapping):
            self._other = objective_of(entry)
        return records

    def feed(self, record: LogRecord) -> tuple[Finding, ...]:
        """Take in the next record.

        Returns:
            The findings that fired, rose in severity or resolved with it; nearly always none.
        """
        changed = self._take(record)
        return self._told(changed) if changed else ()

    def _take(self, record: LogRecord) -> list[Case]:
        """Take in the next record; return the cases in which it changed something."""
        signals = self.signals
        if not signals.update(record):
            return []
        changed = self._rewind(record.step) if signals.rewound else []
        on_rows = self._on_steady_rows if signals.rate_rise is None else self._on_rows
        for detector in on_rows if record.kind == TRAIN else self._listeners(record):
            try:
                detections = detector.update(signals, record)
            except Exception as fault:
                self._break(detector.code, fault)
                continue
            if detections:
                changed += self._filed(detections)
        return changed

    def replay(self, entries: Iterable[Mapping[str, Any]], segments: Sequence[Segment]) -> None:
        """Take in the rows of a log, and where in it the run was resumed with other settings."""
        self.signals.context = segments[0].context
        later = list(segments[1:])
        for entry in (stretches := Stretches(entries)):
            if later:
                step = as_step(entry.get("step"))
                while later and step is not None and step > later[0].after_step:
                    self.resume(later.pop(0))
            if later or not stretches.taken(self.signals, self._on_rows):
                # Nobody is told of what changes on the way.
                for record in self._records(entry):
                    self._take(record)
        for segment in later:
            self.resume(segment)

    def resume(self, segment: Segment) -> None:
        """Judge afresh from here, in the new context: older findings are over, and say why."""
        changes = [self._change(name, *pair) for name, pair in segment.changed.items()]
        words = {"step": segment.after_step, "changes": ", ".join(changes)}
        because = self._word("resumed", words)
        self._start_detectors()
        self._cases.end_all(segment.after_step, because)
        self._checks.end_all(segment.after_step, because)
        self._earlier.append(self.signals)
        self.signals = Signals(segment.context)
        self.signals.checkpoints = self._earlier[-1].checkpoints
        self.signals.easy_answers = self.checked.easy_answers
        self.signals.warned = self._checks.warned

    @property
    def sound_until(self) -> int | None:
        """The last step whose weights were neither lost, blown up nor NaN; None: all are sound."""
        return self._cases.sound_until

    def best_evaluation(self) -> tuple[str, Evaluation] | None:
        """Return the main series and the lowest evaluation of sound weights, or None."""
        until = self.sound_until
        parts = [signals.best_evaluation(until) for signals in (*self._earlier, self.signals)]
        known = [best for best in parts if best is not None]
        return min(known, key=lambda best: best[1].loss, default=None)

    def _listeners(self, record: LogRecord) -> Sequence[Detector | Probe]:
        """Return those that look at this record, which is no train row."""
        if record.kind in ASIDE:
            return [detector for detector in self._detectors if detector.only == record.kind]
        if record.kind != PROBE:
            return self._on_records
        if not self._asked:
            # Their modules load only for a run whose model was asked.
            from sftdiag.probes import PROBES

            self._asked = True
            self._probes = tuple(kind() for kind in PROBES)
        return self._probes

    def _filed(self, detections: Sequence[Detection]) -> list[Case]:
        """Return the cases in which these are news."""
        reported = (d for d in detections if self.settings.reports(d.code, d.name))
        return [case for d in reported if (case := self._cases.take(d)) is not None]

    def _start_detectors(self) -> None:
        kinds = (kind for kind in DETECTORS if kind.name not in self._broken)
        self._listen(tuple(kind() for kind in kinds))

    def _listen(self, detectors: tuple[Detector, ...]) -> None:
        """Show records to these from now on, to each those that it looks at."""
        self._detectors = detectors
        self._on_records = tuple(d for d in detectors if not d.only)
        self._on_rows = tuple(d for d in self._on_records if not d.evaluations_only)
        self._on_steady_rows = tuple(d for d in self._on_rows if not d.rises_only)

    def _break(self, code: str, fault: Exception) -> None:
        """Switch off what raised; raise where no one asked to be told."""
        if self._on_fault is None:
            raise fault
        name = NAMES[code]
        self._broken[name] = type(fault).__name__
        self._probes = tuple(p for p in self._probes if p.name != name)
        self._listen(tuple(d for d in self._detectors if d.name != name))
        self._on_fault(name, fault)

    def _rewind(self, step: int) -> list[Case]:
        """Start the detectors afresh where a log goes back: what they saw was done again."""
        self._start_detectors()
        return self._cases.end_all(step, self._word("rewound", {"step": step}))

    def _finding(self, case: Case, claims: tuple[arbitration.Claim, ...]) -> Finding:
        from sftdiag.guide.diagnosis import diagnose  # loads with the first finding

        lang = self.settings.lang
        finding = diagnose(case.detection, case.id, case.fired, self.signals, lang, self.checked)
        (finding,) = self._spoken((finding,))
        return finding.replace(
            resolved_step=case.resolved_step,
            resolved_because=case.resolved_because,
            consequence_of=arbitration.explained_by(case.claim, claims),
            rows=self._cases.rows_of(case),
        )

    def _spoken(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Return findings whose fixes name the settings of what trains."""
        known = self.signals.context
        if known.framework is None and known.own_optimizer is None:
            return findings
        from sftdiag.guide.dialect import spoken  # loads where there is another one

        return tuple(spoken(each, known, self.settings.lang) for each in findings)

    def _findings(self) -> tuple[Finding, ...]:
        found = self._told(self._cases.all)
        checked = arbitration.told_with(found, self._spoken(self._checks.findings()))
        return tuple(sorted((*found, *checked), key=arbitration.importance))

    def _told(self, cases: Iterable[Case]) -> tuple[Finding, ...]:
        """Return the cases' findings, without those that cannot be told."""
        found, claims = [], self._cases.claims
        for case in cases:
            try:
                found.append(self._finding(case, claims))
            except Exception as fault:
                self._break(case.detection.code, fault)
        return tuple(found)

    def report(self) -> Report:
        """Return the diagnosis so far; valid at any time."""
        findings = self._findings()
        units = self._units()
        skips = unjudged(units, self._broken, self.settings, self.signals)
        verdict, reason = self._verdict(findings, skips)
        parts = [part for part in (*self._earlier, self.signals) if part.records]
        return Report(
            self.source,
            verdict,
            Summary(
                sum(part.records for part in parts),
                parts[0].first_step if parts else None,
                parts[-1].last_step if parts else None,
                self.signals.max_steps,
                parts[-1].epoch if parts else None,
                self.sound_until,
            ),
            reason,
            arbitration.primary(findings),
            findings,
            (*(d.name for d in units if d.name not in skips), *self.checked.ran),
            {**{name: self._say(skip) for name, skip in skips.items()}, **self._checks.skipped()},
            self.checked.rows,
            curves((*self._earlier, self.signals)),
            self.settings.lang,
            asked=(
                *(p.name for p in self._probes if _was_asked(skips.get(p.name))),
                *self._checks.asked,
            ),
            reserved=self._checks.reserved,
        )

    def _units(self) -> tuple[Detector | Probe, ...]:
        seen = (d for d in self._detectors if not d.seldom or d.skip(self.signals) is None)
        return (*seen, *self._probes)

    def _verdict(
        self, findings: tuple[Finding, ...], skips: Mapping[str, Skip]
    ) -> tuple[str, str | None]:
        worst = max((f.severity for f in findings if f.resolved_step is None), default=None)
        if worst is not None and worst >= Severity.WARNING:
            return worst.label, None
        if self._blind is not None:
            return "inconclusive", self._say(self._blind)
        if not any(part.records for part in (*self._earlier, self.signals)):
            if not any(probe.name not in skips for probe in self._probes):
                return "inconclusive", self._say(Skip(self._other or "no_step"))
        elif (beyond := rate_beyond_any(self.signals)) is not None:
            return "inconclusive", self._say(beyond)
        elif LEARNING in skips and not has_learned(self.signals):
            return "inconclusive", self._say(skips[LEARNING])
        elif (lost := ends_lost(self.signals)) is not None:
            return "inconclusive", self._say(lost)
        elif (none := none_right(self.signals)) is not None:
            return "inconclusive", self._say(none)
        elif (fell := scores_fell(self.signals)) is not None:
            return "inconclusive", self._say(fell)
        elif (high := stands_high(self.signals) or repeats_itself(self.signals)) is not None:
            return "inconclusive", self._say(high)
        return (worst.label if worst is not None else "healthy"), None

    def _say(self, skip: Skip) -> str:
        words = texts.load(detectors_package.__file__, "skipped", self.settings.lang)
        in_a_loop = f"{skip.key}_in_a_loop"
        key = in_a_loop if in_a_loop in words and self._in_own_loop() else skip.key
        return str(words[key].format(**skip.values))

    def _in_own_loop(self) -> bool:
        """Return whether what trains has none of the Trainer's settings."""
        framework = self.signals.context.framework
        if framework is None:
            return False
        from sftdiag.guide.dialect import OWN_LOOPS  # loads where a framework is known

        return framework in OWN_LOOPS

    def _change(self, name: str, old: Any, new: Any) -> str:
        return self._word(name, {}) if name.endswith("_fingerprint") else f"{name} {old} -> {new}"

    def _word(self, key: str, values: Mapping[str, Any]) -> str:
        return str(texts.load(__file__, "monitor", self.settings.lang)[key].format(**values))


def _was_asked(skip: Skip | None) -> bool:
    """Return whether a probe was to be asked for: it judged, or what kept it from that is told."""
    return skip is None or skip.key not in ("needs_model", "not_selected")
