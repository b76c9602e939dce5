"""Outlets: where findings go, on world rank 0: the log, findings.jsonl, trackers and a webhook."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sftdiag.faults import Faults, say
from sftdiag.findings import Finding, Report, Severity, StepRows
from sftdiag.outlets import alerts, trackers
from sftdiag.outlets.alerts import Alert
from sftdiag.outlets.journal import Journal
from sftdiag.outlets.webhook import Webhook
from sftdiag.report import one_line
from sftdiag.sources import every_step, kept_log, probes, step_rows
from sftdiag.sources.journal import Segment
from sftdiag.sources.kept_log import LOG_FILE
from sftdiag.values import Value

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}


class Outlets:
    """Tells each thing once; a place that fails is said once and told nothing more.

    Args:
        args: the run's TrainingArguments.
        lang: language of the texts.
        webhook: where else to send alerts, or None.
        faults: keeps what goes wrong in here from the run.
    """

    def __init__(self, args: Any, lang: str, webhook: Webhook | None, faults: Faults) -> None:
        self._args = args
        self._lang = lang
        self._webhook = webhook
        self._faults = faults
        self._journal = Journal(args.output_dir) if args.output_dir else None
        self._trackers = trackers.in_use(args.report_to)
        self._told: set[tuple[str, str]] = set()
        self._alerted: set[str] = set()
        self._unwritten: set[tuple[str, str]] = set()

    def start(self, segment: Segment, trial: str | None) -> None:
        """Note that training begins, and with which settings."""
        if not segment.after_step:
            self._write(LOG_FILE, kept_log.clear)
        self._note("start", step=segment.after_step, trial=trial, **_without_step(segment))

    def keep(self, name: tuple[str, str], value: Value) -> None:
        """Keep what is known of the run beside its log, so that a later analyze knows it too."""
        self._write(name, lambda folder: _write(os.path.join(folder, *name), value))

    def keep_probe_rows(self, rows: Sequence[probes.Row], *, afresh: bool = False) -> None:
        """Keep what was measured on the model; ``afresh``: instead of what is kept already."""
        if rows or (afresh and self._has(probes.PROBES_FILE)):
            self._write(
                probes.PROBES_FILE, lambda folder: probes.write(folder, rows, afresh=afresh)
            )

    def keep_steps(self, rows: bytes, *, afresh: bool = False) -> None:
        """Keep what single steps were, as rows of their file.

        ``afresh``: instead of what is kept already.
        """
        if rows or (afresh and self._has(every_step.STEPS_FILE)):
            write = partial(every_step.write, rows=rows, afresh=afresh)
            self._write(every_step.STEPS_FILE, write)

    def keep_log_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows of the log, for a run that saves no checkpoint."""
        write = partial(self._write, LOG_FILE, partial(kept_log.append, rows=rows))
        self._faults.run("log.jsonl", write, None)

    def keep_rows(self, kept: Sequence[StepRows], *, afresh: bool = False) -> None:
        """Keep which rows steps were made of; ``afresh``: instead of what is kept already."""
        if kept or (afresh and self._has(step_rows.ROWS_FILE)):
            write = partial(step_rows.write, rows=kept, afresh=afresh)
            self._write(step_rows.ROWS_FILE, write)

    def _has(self, name: tuple[str, str]) -> bool:
        return os.path.exists(os.path.join(self._args.output_dir or "", *name))

    def _write(self, name: tuple[str, str], write: Callable[[str], None]) -> None:
        folder = self._args.output_dir
        if not folder:
            return
        try:
            write(folder)
        except OSError as error:
            if name not in self._unwritten:
                self._unwritten.add(name)
                path = os.path.join(folder, *name)
                problem = error.strerror or type(error).__name__
                say(logging.WARNING, f"{path} cannot be written ({problem}); the run goes on")

    def tell(self, finding: Finding, *, aside: bool = False) -> None:
        """Tell of a finding that fired, rose or resolved; of each once.

        Args:
            finding: it.
            aside: from a thread of its own, which trackers do not know as part of their run.
        """
        over = finding.resolved_step is not None
        state = "resolved" if over else finding.severity.label
        if (finding.id, state) in self._told:
            return
        self._told.add((finding.id, state))
        event = "resolved" if over else "fired" if len(finding.fired) == 1 else "rose"
        self._note(event, finding=finding)
        explained = finding.consequence_of is not None
        level = logging.INFO if over or explained else _LEVELS[finding.severity]
        say(level, one_line.tell(finding, self._lang))
        if over:
            wanted = finding.id in self._alerted
        else:
            wanted = finding.severity >= Severity.WARNING and not explained
        if wanted:
            self._alerted.add(finding.id)
            self._alert(alerts.of_finding(finding, self._lang), aside=aside)

    def conclude(self, report: Report, stopped: str | None, stopped_by: str | None) -> None:
        """Tell a run's verdict, and of a stop what was saved and where to go back to."""
        self._note(
            "end",
            step=report.summary.last_step,
            verdict=report.verdict,
            worst=report.worst,
            primary_id=report.primary_id,
            stopped_by=stopped_by,
        )
        if stopped is not None:
            say(logging.WARNING, stopped, always=True)
        alert = alerts.of_report(report, stopped)
        say(_LEVELS[alert.severity], one_line.summary_line(report), always=True)
        self._alert(alert)

    def close(self) -> None:
        """Wait a moment for what is still under way."""
        if self._webhook is not None:
            self._webhook.drain()

    def _note(self, event: str, **content: Any) -> None:
        journal = self._journal
        if journal is not None:
            self._faults.run("findings.jsonl", lambda: journal.append(event, **content), None)

    def _alert(self, alert: Alert, *, aside: bool = False) -> None:
        for name in [] if aside else list(self._trackers):
            try:
                trackers.TRACKERS[name](alert, self._args)
            except Exception as error:
                self._trackers.remove(name)
                problem = f"{type(error).__name__}: {error}"
                say(logging.WARNING, f"{name} took no alert ({problem}) and gets no more")
        if self._webhook is not None:
            webhook, run = self._webhook, _run_name(self._args)
            self._faults.run("webhook", lambda: webhook.send(alert, run), None)


def _write(path: str, value: Value) -> None:
    """Replace a file as a whole: a process that is killed leaves the old one or the new one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(value.to_dict(), file, indent=2)
    os.replace(f"{path}.new", path)


def _without_step(segment: Segment) -> dict[str, Any]:
    return {"context": segment.context, "changed": segment.changed}


def _run_name(args: Any) -> str | None:
    """Return the name that the user gave the run; transformers' default is a path."""
    name = getattr(args, "run_name", None)
    if not name or name == args.output_dir or os.sep in name:
        return None
    return str(name)
