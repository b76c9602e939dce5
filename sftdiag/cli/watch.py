"""``sftdiag watch PATH``: the live view of a run in another process, of any format of log."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from sftdiag import texts
from sftdiag.api import resolve_settings
from sftdiag.cli.options import (
    Reader,
    add_reading,
    add_selection,
    add_verdict,
    reader,
    seconds,
)
from sftdiag.cli.watched import Watched, progress
from sftdiag.errors import SourceError
from sftdiag.findings import Finding, Report, Severity
from sftdiag.report.one_line import summary_line, tell
from sftdiag.sources import find_runs
from sftdiag.sources.finding import STDIN

if TYPE_CHECKING:
    import argparse

EVERY = 2.0
"""Seconds between two looks: rows come every few seconds at the most often."""

TELL_EVERY = 30.0
"""Seconds between two lines of progress where nothing else is said."""

MOST_RUNS = 200
"""Runs of a tree that are followed, the newest ones of more."""


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "watch",
        formatter_class=formatter_class,
        description="Follows a log of any format, or all below a folder, while it grows. Ends when "
        "the runs do, or with --until; exit codes as of analyze.",
    )
    parser.add_argument("path", metavar="PATH", help="a log or folder, which may come later; or -")
    severities = ("info", "warning", "error")
    parser.add_argument(
        "--until",
        choices=severities,
        help="end with 1 at the first finding of this severity (of -, the run's output too)",
    )
    parser.add_argument(
        "--exec", metavar="CMD", help="run this in a shell at that finding (default: error)"
    )
    parser.add_argument("--once", action="store_true", help="look once, and end")
    parser.add_argument(
        "--every",
        type=seconds,
        default=EVERY,
        metavar="S",
        help="seconds between looks (default: 2)",
    )
    parser.add_argument(
        "--stall", type=seconds, metavar="S", help="seconds without a row that are told as a stall"
    )
    add_selection(parser)
    add_verdict(parser)
    add_reading(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow the runs until they end; see :func:`sftdiag.cli.main.main` for the exit codes."""
    gc.enable()
    settings = resolve_settings(
        select=options.select, ignore=options.ignore, fail_on=options.fail_on, lang=options.lang
    )
    path, read, pipe = options.path, reader(options), None
    if path == STDIN:
        pipe = Pipe()
        path = pipe.path
    watch = Watch(path, read, settings, options, pipe)
    try:
        return watch.follow()
    finally:
        watch.shown.close()
        if pipe is not None:
            pipe.close()


class Pipe:
    """Standard input, kept in a file as it comes."""

    def __init__(self) -> None:
        import tempfile
        import threading

        self._folder = tempfile.TemporaryDirectory(prefix="sftdiag-")
        self.path = os.path.join(self._folder.name, "stdin")
        self.ended = threading.Event()
        with open(self.path, "wb"):
            pass
        threading.Thread(target=self._copy, daemon=True).start()

    def _copy(self) -> None:
        # Past Python's own buffer, whose lock would be held at the process's end.
        source = sys.stdin.fileno()
        with open(self.path, "ab", buffering=0) as file:
            while chunk := os.read(source, 1 << 16):
                file.write(chunk)
        self.ended.set()

    def close(self) -> None:
        """Take the file away."""
        self._folder.cleanup()


class Watch:
    """Looks at the runs of a path again and again, and says what is new."""

    def __init__(
        self, path: str, read: Reader, settings: Any, options: Any, pipe: Pipe | None
    ) -> None:
        from sftdiag.cli.watch_view import Lines, View

        self.path, self.settings, self.options, self.pipe = path, settings, options, pipe
        self.words = texts.load(__file__, "watch", settings.lang)
        self.runs: dict[str, Watched] = {}
        live = sys.stdout.isatty() and not options.once
        self.shown: Lines = View(settings.lang) if live else Lines()
        self._read = read
        self._acted: set[str] = set()
        self._said = 0.0
        self._waits: str | None = None

    def follow(self) -> int:
        """Follow the runs; return the exit code."""
        while True:
            last = self.pipe is None or self.pipe.ended.is_set()
            self._find()
            hit = [self._look(run) for run in list(self.runs.values())]
            self.shown.show(list(self.runs.values()))
            if self.options.until and any(hit):
                return 1
            if self.options.once or (self._over() and last):
                return self._end()
            time.sleep(max(0.05, self.options.every))

    def _over(self) -> bool:
        if self.pipe is not None:
            return self.pipe.ended.is_set()
        return bool(self.runs) and all(run.done for run in self.runs.values())

    def _find(self) -> None:
        try:
            found = find_runs(self.path)[-MOST_RUNS:]
        except SourceError as error:
            found = []
            if not self.runs and self._waits != str(error):
                self._waits = str(error)
                self._wait(str(error))
        for path in found:
            if path not in self.runs:
                self.runs[path] = Watched(path, self._read, self.settings, self.options.stall)

    def _look(self, run: Watched) -> bool:
        """Look at one run; return whether it has a finding to end at."""
        known, error = run.report is not None, run.error
        if run.look() and run.report is not None:
            if not known:
                format = run.report.format or "trainer_state"
                self._say("watching", path=self._name(run), format=format)
            if run.began_again:
                step = run.report.summary.last_step or 0
                self._say("began_again", path=self._name(run), step=step)
            for finding in run.news():
                self.shown.say(f"{self._name(run)}: {tell(finding, self.settings.lang)}")
            self._progress(run, run.report)
        elif run.error is not None and run.error != error and not known:
            self._wait(run.error)
        if (quiet := run.stalled()) is not None:
            self._say("stalled", path=self._name(run), seconds=quiet)
        return self._act(run)

    def _act(self, run: Watched) -> bool:
        wanted = self.options.until or ("error" if self.options.exec else None)
        found = run.report.at_least(wanted) if wanted and run.report is not None else ()
        if found and run.path not in self._acted:
            self._acted.add(run.path)
            if self.options.exec:
                code = execute(self.options.exec, run.path, found[0])
                self._say("ran", path=self._name(run), command=self.options.exec, code=code)
        return bool(found)

    def _progress(self, run: Watched, report: Report) -> None:
        now = time.monotonic()
        if self.shown.live or now - self._said < TELL_EVERY or report.summary.last_step is None:
            return
        self._said = now
        self.shown.say(progress(self._name(run), run, report, self.words))

    def _name(self, run: Watched) -> str:
        return "-" if self.pipe is not None else run.path

    def _end(self) -> int:
        for run in self.runs.values():
            if run.report is not None:
                self._say("end", path=self._name(run), verdict=summary_line(run.report))
        reports = [run.report for run in self.runs.values() if run.report is not None]
        if not reports or any(run.error for run in self.runs.values()):
            return 2
        return int(any(report.at_least(self.settings.fail_on) for report in reports))

    def _wait(self, error: str) -> None:
        """Say why there is nothing to see yet, without what is told of a log that never comes."""
        told = error if self.options.once else error.partition("; ")[0]
        self._say("unreadable", error=told.replace(self.path, STDIN) if self.pipe else told)

    def _say(self, key: str, **values: Any) -> None:
        self.shown.say(str(self.words[key].format(**values)))


def execute(command: str, path: str, finding: Finding) -> int:
    """Run a command in a shell; its environment says of which run and finding."""
    import subprocess

    told = {
        "SFTDIAG_RUN": path,
        "SFTDIAG_CODE": finding.code,
        "SFTDIAG_NAME": finding.name,
        "SFTDIAG_SEVERITY": Severity(finding.severity).label,
        "SFTDIAG_STEP": str(finding.fired_step),
    }
    done = subprocess.run(command, shell=True, env={**os.environ, **told}, check=False)
    return done.returncode
