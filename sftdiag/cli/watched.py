"""Watched: one run whose log grows: read again when it has changed, and what is new in it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from sftdiag.api import replay
from sftdiag.cli.options import Reader
from sftdiag.config import Settings
from sftdiag.errors import SourceError
from sftdiag.findings import Finding, Report
from sftdiag.records import as_float, as_step
from sftdiag.signals.noise import median

REST = 4.0
"""Times the reading took, after which it is read again: a long log takes a fifth of the time."""

PACES = 20
"""Last distances between new rows that are remembered."""

LEAST_PACES = 3
"""Distances from which a pace is known."""

STALLED = 10.0
"""Times the usual distance without a new row that are a stall; an evaluation or a checkpoint
between two rows takes a few."""

SOON, LONG = 60.0, 900.0
"""Seconds before which nothing is a stall, and those where no pace is known: a first step compiles,
loads and tokenizes."""


Rows = list[Mapping[str, Any]]


class Watched:
    """A run under watch.

    Args:
        path: what :func:`~sftdiag.sources.find_runs` returned.
        read: opens it.
        settings: what to report, and in which language.
        stall: seconds without a new row that are a stall; None to go by its pace.

    Attributes:
        report: the newest diagnosis, or None before the first.
        error: why it could not be read the last time, or None.
        began_again: at the last reading it stood before where it had been.
    """

    def __init__(
        self, path: str, read: Reader, settings: Settings, stall: float | None = None
    ) -> None:
        self.path = path
        self.report: Report | None = None
        self.error: str | None = None
        self.began_again = False
        self._read, self._settings, self._stall_after = read, settings, stall
        self._mark: object = None
        self._rows: Rows = []
        self._before: Rows = []
        self._whole: Rows = []
        self._told: set[tuple[str, str]] = set()
        self._next = 0.0
        self._first: tuple[float, int] | None = None
        self._changed = time.monotonic()
        self._paces: deque[float] = deque(maxlen=PACES)
        self._stall_told = False

    def look(self) -> bool:
        """Read the run again where it has changed; return whether it was read."""
        now = time.monotonic()
        mark = _mark(self.path)
        if now < self._next or (mark == self._mark and self.error is None):
            return False
        reached = self.report.summary.last_step if self.report else None
        try:
            run = self._read(self.path)
            rows = list(run.entries)
            before = self._rotated_out(rows)
            whole = [*before, *_behind(before, rows)]
            self.report = replay(run.replace(entries=whole), self._settings)
        except SourceError as error:
            self.error = str(error)
            return False
        finally:
            self._next = time.monotonic() + REST * (time.monotonic() - now)
        self.error, self._mark = None, mark
        self._rows, self._before, self._whole = rows, before, whole
        step = self.report.summary.last_step
        self.began_again = reached is not None and step is not None and step < reached
        if step is not None and step != reached:
            self._moved(step, first=reached is None or self.began_again)
        return True

    def _rotated_out(self, rows: Rows) -> Rows:
        """Return the rows that are no longer in the log, where it was rotated in mid-run."""
        if _goes_on(self._rows, rows):
            return self._whole
        return self._before if _goes_on(self._before, rows) else []

    def _moved(self, step: int, *, first: bool) -> None:
        now = time.monotonic()
        if first:
            self._first = (now, step)
            self._paces.clear()
        else:
            self._paces.append(now - self._changed)
        self._changed, self._stall_told = now, False

    def news(self) -> list[Finding]:
        """Return the findings that fired, rose or ended since the last call, each once."""
        fresh = []
        for finding in self.report.findings if self.report else ():
            over = finding.resolved_step is not None
            state = "over" if over else finding.severity.label
            if (finding.id, state) in self._told:
                continue
            self._told.add((finding.id, state))
            # What is over before it was ever told is history.
            if not over or any(told == finding.id for told, s in self._told if s != "over"):
                fresh.append(finding)
        return fresh

    @property
    def done(self) -> bool:
        """Whether the run has logged its end, or its last step."""
        summary = self.report.summary if self.report else None
        last = self._rows[-1] if self._rows else {}
        reached = summary is not None and summary.max_steps and summary.last_step
        at_end = bool(reached) and summary.last_step >= summary.max_steps  # type: ignore
        return at_end or ("train_runtime" in last and "loss" not in last)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the planned end at the pace seen, or None."""
        summary = self.report.summary if self.report else None
        if summary is None or self._first is None or not summary.max_steps:
            return None
        (since, start), step = self._first, summary.last_step or 0
        if step <= start or self._changed <= since:
            return None
        left = (summary.max_steps - step) * (self._changed - since) / (step - start)
        return max(0.0, left - (time.monotonic() - self._changed))

    def stalled(self) -> float | None:
        """Return the seconds without a new row where that is unusual; each stall once."""
        quiet = time.monotonic() - self._changed
        known = len(self._paces) >= LEAST_PACES
        usual = max(SOON, STALLED * median(list(self._paces))) if known else LONG
        if self._stall_told or self.done or self.report is None:
            return None
        if quiet < (self._stall_after if self._stall_after is not None else usual):
            return None
        self._stall_told = True
        return quiet


def _goes_on(earlier: Rows, rows: Rows) -> bool:
    """Return whether rows begin behind the end of earlier ones: by the step, or by the epoch."""
    for name, read in (("step", as_step), ("epoch", as_float)):
        first, last = _first(rows, name, read), _first(reversed(earlier), name, read)
        if first is None or last is None:
            continue
        # An evaluation that stands first has the step of the row before it.
        if first > last or (first == last and rows[0] not in earlier):
            return True
    return False


def _behind(before: Rows, rows: Rows) -> Rows:
    """Return rows whose steps go on: where a log shows none, they count from a file's beginning."""
    first, last = _first(rows, "step", as_step), _first(reversed(before), "step", as_step)
    if first is None or last is None or first >= last:
        return rows
    steps = [as_step(row.get("step")) for row in rows]
    return [{**r, "step": last + s} if s else r for r, s in zip(rows, steps, strict=True)]


def _first(rows: Iterable[Mapping[str, Any]], name: str, read: Any) -> Any:
    return next((value for row in rows if (value := read(row.get(name))) is not None), None)


def progress(name: str, run: Watched, report: Report, words: Mapping[str, Any]) -> str:
    """Return where a run stands, as a line."""
    steps, left = report.summary.max_steps, run.seconds_left
    losses = next((curve.values for curve in report.curves if curve.series == "loss"), ())
    line: str = words["progress"].format(
        path=name,
        step=report.summary.last_step or 0,
        planned=words["planned"].format(steps=steps) if steps else "",
        loss=words["loss"].format(loss=losses[-1]) if losses else "",
        left=words["left"].format(time=timedelta(seconds=round(left))) if left is not None else "",
    )
    return line


def _mark(path: str) -> object:
    """Return what changes when a log does: of a folder the newest of its files."""
    base = path if os.path.exists(path) else path.rpartition("::")[0]
    found = []
    folders = [base] if os.path.isdir(base) else []
    files = [] if folders else [base, f"{base}-wal"]
    for folder in folders:
        for here, below, names in os.walk(folder):
            below[:] = [name for name in below if not name.startswith(".")]
            files += [os.path.join(here, name) for name in names]
    for file in files:
        try:
            seen = os.stat(file)
        except OSError:
            continue
        found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return (max(found, default=None), sum(size for _, size, _ in found), len(found))
