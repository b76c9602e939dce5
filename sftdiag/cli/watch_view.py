"""What `sftdiag watch` shows: plain lines, or on a terminal the newest diagnosis in place."""

from __future__ import annotations

from collections import deque
from typing import Any

from sftdiag import texts
from sftdiag.cli.watched import Watched, progress

NEWEST = 8
"""Lines of what happened that stay below the diagnosis."""


class Lines:
    """Plain lines, each written at once."""

    live = False

    def say(self, text: str) -> None:
        """Say what is new."""
        print(text, flush=True)

    def show(self, runs: list[Watched]) -> None:
        """Show where the runs stand."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class View(Lines):
    """The terminal: one run with its curve and diagnosis, or several with a line each."""

    live = True

    def __init__(self, language: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._language = language
        self._news: deque[str] = deque(maxlen=NEWEST)
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._live.start()

    def say(self, text: str) -> None:
        """Keep what is new below the diagnosis."""
        self._news.append(text)

    def show(self, runs: list[Watched]) -> None:
        """Draw the runs anew."""
        from rich.console import Group
        from rich.text import Text

        parts: list[Any] = []
        known = [run for run in runs if run.report is not None]
        if len(known) == 1:
            parts += picture(known[0], self._console.width, self._language)
        else:
            parts += [_line(run, self._language) for run in known]
        parts += [Text(n, style="dim", no_wrap=True, overflow="ellipsis") for n in self._news]
        self._live.update(Group(*parts), refresh=True)

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def picture(run: Watched, columns: int, language: str) -> list[Any]:
    """Return what is drawn of one run: its progress, curve and diagnosis."""
    from rich.padding import Padding
    from rich.text import Text

    from sftdiag.report.text import lines

    assert run.report is not None
    shown = lines(run.report, columns=columns, detail="brief")
    drawn = [Padding(Text.assemble(*line.parts), (0, 0, 0, line.indent)) for line in shown]
    return [_bar(run, language), *drawn]


def _bar(run: Watched, language: str) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    assert run.report is not None
    grid = Table.grid(padding=(0, 1))
    steps = run.report.summary.max_steps
    row: list[Any] = [_progress(run, language)]
    if steps:
        done = run.report.summary.last_step or 0
        row.append(ProgressBar(total=steps, completed=min(done, steps), width=30))
    grid.add_row(*row)
    return grid


def _line(run: Watched, language: str) -> Any:
    from rich.text import Text

    from sftdiag.report.one_line import verdict_parts, words_of

    assert run.report is not None
    parts = verdict_parts(run.report, words_of(language))
    return Text.assemble(*parts, (f"  {_progress(run, language)}", "dim"))


def _progress(run: Watched, language: str) -> str:
    assert run.report is not None
    words = texts.load(__file__, "watch", language)
    return progress(run.path, run, run.report, words)
