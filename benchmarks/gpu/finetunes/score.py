"""What a faulty run's diagnosis was worth: harm, onset, right or wrong, when, and what it saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

from benchmarks.gpu.finetunes.matrix import harmed
from benchmarks.gpu.finetunes.replay import Judged, of_run
from benchmarks.gpu.finetunes.results import Result, Run
from sftdiag.findings import Finding, Severity

OVERFITTING = frozenset({"overfitting", "late-rise"})
"""Faults that begin where the evaluation loss is lowest."""

LEAST_TWINS = 2
"""A standard deviation needs two."""


@dataclass(frozen=True)
class Scored:
    """A faulty run with what is known of its fault and what was said of it.

    Attributes:
        harm: whether the fault did harm; None where that cannot be said.
        unknown: why it cannot.
        onset: the step at which the fault begins.
        judged: what today's code says, until it stops the run.
    """

    run: Run
    harm: bool | None
    unknown: str
    onset: int
    judged: Judged

    @property
    def full(self) -> Result:
        """The run to its end, or as far as there is one."""
        return self.run.full

    @property
    def later(self) -> bool:
        """Whether the fault begins after the start."""
        return self.onset > 0

    def names(self, finding: Finding) -> bool:
        """Say whether a finding names the fault.

        What the log showed before the fault began is about something else, save for overfitting,
        whose beginning is only as exact as the evaluations.
        """
        in_time = self.run.spec.fault in OVERFITTING or finding.fired_step >= self.onset
        right = finding.code in self.run.spec.named[0]
        return right and (in_time or finding.by_check)

    @property
    def found(self) -> bool:
        """Whether the primary finding names the fault."""
        primary = self.judged.primary
        return primary is not None and self.names(primary)

    @property
    def named(self) -> bool:
        """Whether the primary finding or a check before step 1 names the fault at warning."""
        checks = (f for f in self.judged.report.findings if f.by_check)
        return self.found or any(
            self.names(check) for check in checks if check.worst >= Severity.WARNING
        )

    @property
    def wrong(self) -> bool:
        """Whether something else is named at warning, and the fault is not."""
        primary = self.judged.primary
        return primary is not None and primary.worst >= Severity.WARNING and not self.named

    @property
    def explained(self) -> bool:
        """Whether the first cause of the primary finding is right, or a check of it confirms it."""
        codes, causes = self.run.spec.named
        primary = self.judged.primary
        if primary is None or not self.found or not primary.causes:
            return False
        first = primary.causes[0]
        return first.id in causes or first.check in codes

    @property
    def detected(self) -> int | None:
        """The step of the first warning or error that names the fault."""
        return self.judged.warned(filter(self.names, self.judged.report.findings))

    @property
    def delay(self) -> float:
        """Share of the run between onset and detection; infinite where it was not detected."""
        return inf if self.detected is None else self.since_onset(self.detected)

    def since_onset(self, step: int) -> float:
        """Return the share of the run between the onset and a step."""
        return max(0, step - self.onset) / max(1, self.full.planned)

    @property
    def at_stake(self) -> float:
        """Seconds that a stop at the onset would save."""
        return self.full.seconds - (self.full.seconds_at(self.onset) if self.later else 0.0)

    @property
    def saved(self) -> float:
        """Seconds that the stop saves of these; before the onset, no more than all of them."""
        if self.judged.stop is None or not self.full.steps:
            return 0.0
        return min(self.full.seconds - self.full.seconds_at(self.judged.stop), self.at_stake)

    @property
    def best(self) -> tuple[float, float] | None:
        """The lowest evaluation loss of the checkpoints kept at the stop, and of the full run.

        None where the run was not stopped, and infinite before the first checkpoint.
        """
        if self.judged.stop is None or not self.full.evaluations:
            return None
        losses = dict(self.full.evaluations)
        kept = [losses[step] for step in self.full.kept(self.judged.stop)]
        return min(kept, default=inf), min(losses.values())


def onset(run: Run) -> int:
    """Return the step at which a fault begins; 0 for the start.

    What lies in the rows' order is met first in the first epoch: there the spec's share is one of
    the rows.
    """
    spec, full = run.spec, run.full
    if spec.fault in OVERFITTING:
        return full.lowest()
    passes = spec.epochs if spec.ordered else 1.0
    return round(spec.onset / passes * full.planned)


def harm(run: Run, runs: Iterable[Run]) -> tuple[bool | None, str]:
    """Say whether a fault did harm, against healthy twins of several seeds; else why not known."""
    if run.plain is None and not run.full.complete and run.full.planned:
        return None, "no run to its end without sftdiag yet"
    twins = {
        twin.spec.seed: twin.full.data["losses"]
        for twin in runs
        if not twin.faulty
        and not twin.spec.trap
        and twin.spec.twin == run.spec.twin
        and twin.full.complete
    }
    if len(twins) < LEAST_TWINS:
        return None, f"healthy twins of {LEAST_TWINS} seeds are needed; there is {len(twins)}"
    return harmed((run.plain or run.full).data["losses"], list(twins.values())), ""


def score(runs: Sequence[Run]) -> list[Scored]:
    """Score all faulty runs, stopped at errors."""
    return [Scored(run, *harm(run, runs), onset(run), of_run(run)) for run in runs if run.faulty]


def stopped_on(severity: str, scored: Iterable[Scored]) -> list[Scored]:
    """Return the same runs, stopped from another severity on."""
    return [replace(each, judged=of_run(each.run, stop_on=severity)) for each in scored]
