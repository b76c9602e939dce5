"""What today's sftdiag says of a stored log: the replay of a run attached with stop_on="error"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.finetunes.results import Result, Run
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Finding, Report, Severity
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.policy import Policy, Rule

LOUD = (Severity.WARNING.label, Severity.ERROR.label)


@dataclass(frozen=True)
class Judged:
    """What was said of a run until it was stopped or had ended.

    Attributes:
        report: the diagnosis at that time.
        stop: the step of the stop; 0 is before the first; None where it was not stopped.
    """

    report: Report
    stop: int | None

    @property
    def primary(self) -> Finding | None:
        """The primary finding; where all is over, the most important warning that was told."""
        told = (f for f in self.report.findings if f.worst >= Severity.WARNING)
        return self.report.primary or next((f for f in told if f.consequence_of is None), None)

    def warned(self, among: Iterable[Finding] | None = None) -> int | None:
        """Return the step of the first warning or error, of all findings or of some."""
        findings = self.report.findings if among is None else among
        steps = (f.fired[label] for f in findings for label in LOUD if label in f.fired)
        return min(steps, default=None)

    @property
    def said(self) -> tuple[str | None, int | None, int | None]:
        """The primary finding's code, the first warning's step and the stop's."""
        primary = self.report.primary
        return (primary.code if primary else None, self.warned(), self.stop)


def judge(
    log: Sequence[Mapping[str, Any]],
    context: RunContext,
    checked: Outcome,
    stop_on: str | None = "error",
    lang: str = "en",
) -> Judged:
    """Replay a log row by row until its policy stops it.

    At a stop the rows of the same step are still read: the trainer evaluates before it ends. What a
    resume showed is known before the rows after it, and the step that it begins is still done.
    """
    policy = Policy(stop_on=Rule.parse(stop_on, "stop_on"))
    lost = list(context.lost_state_steps or ())

    def stops(findings: tuple[Finding, ...]) -> bool:
        return any(policy.decide(finding).stop for finding in findings)

    monitor = Monitor(context.replace(lost_state_steps=None), Settings(lang=lang))
    stop = 0 if stops(monitor.take_checks(checked)) else None
    for row in log:
        if stop is None and lost and row["step"] > lost[0]:
            at = lost.pop(0)
            known = monitor.learn(RunContext(lost_state_steps=(at,)))
            stop = at + 1 if stops(known) else None
        if stop is not None and row["step"] > stop:
            break
        if stops(monitor.feed_entry(row)) and stop is None:
            stop = int(row["step"])
    return Judged(monitor.report(), stop)


def of_run(
    run: Run, result: Result | None = None, stop_on: str | None = "error", lang: str = "en"
) -> Judged:
    """Judge a run's longest log, or the given one, with what sftdiag kept of the run."""
    return _judged(run, (result or run.full).log, "checked", stop_on, lang)


def _judged(
    run: Run, log: Sequence[Mapping[str, Any]], checked: str, stop_on: str | None, lang: str = "en"
) -> Judged:
    return judge(
        log,
        RunContext.from_dict(run.recorded("context")),
        Outcome.from_dict(run.recorded(checked)),
        stop_on,
        lang,
    )


def recorded(result: Result) -> tuple[str | None, int | None, int | None]:
    """Return :attr:`Judged.said` as it was recorded live."""
    found = result.data["findings"]
    primary = next((f["code"] for f in found if f["primary"]), None)
    steps = [f["fired"][label] for f in found for label in LOUD if label in f["fired"]]
    stopped = 0 < result.steps < result.planned
    return primary, min(steps, default=None), result.steps if stopped else None


def agrees(run: Run, result: Result) -> bool:
    """Say whether today's code says of a watched log what was said live.

    Where the checks have looked at its rows again since, what they said live is what counts. A run
    that is stopped before step 1 still does that step, and one whose ``train()`` fails before it
    begins cannot be stopped.
    """
    checked = "checked_live" if "checked_live" in result.data else "checked"
    primary, first, stop = _judged(run, result.log, checked, result.stop_on).said
    if stop is not None:
        stop = max(stop, 1) if result.planned else None
    return (primary, first, stop) == recorded(result)
