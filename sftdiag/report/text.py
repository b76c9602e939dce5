"""Text for a person, as much of it as is wanted: a line, what to do, or everything.

One list of styled lines serves the pipe (plain, unwrapped) and the terminal (rich: colour, wrapped
at its width, Chinese counted as two columns).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from sftdiag.findings import Finding, Report
from sftdiag.hints import TYPE_CHECKING, Any
from sftdiag.report.line import Line, write_lines
from sftdiag.report.one_line import words_of

if TYPE_CHECKING:
    from typing import Literal

    Detail = Literal["line", "brief", "full"]
else:
    Detail = str
"""``"line"``: the verdict. ``"brief"``: what to look at first and what to change. ``"full"``: every
cause with its evidence, every check that ran, and why the others could not."""

PIPE_COLUMNS = 80
"""Columns assumed where the width is not known."""


def render(
    report: Report, *, curve: bool = True, detail: Detail = "brief", ascii_only: bool = False
) -> str:
    """Return the report as plain text, ending with a newline.

    Args:
        report: the diagnosis.
        curve: draw the run's curves.
        detail: how much is told.
        ascii_only: draw the curves without Braille and box characters.
    """
    columns = PIPE_COLUMNS if curve else 0
    shown = lines(report, columns=columns, detail=detail, ascii_only=ascii_only)
    return "\n".join(line.plain for line in shown) + "\n"


def print_to_terminal(report: Report, detail: Detail = "brief") -> None:
    """Print the report to standard output in colour, wrapped at the terminal's width."""
    from rich.console import Console

    write_to(Console(highlight=False), report, detail)


def write_to(console: Any, report: Report, detail: Detail = "brief") -> None:
    """Write the report to a rich Console, its curves as wide as it is."""
    ascii_only = not can_draw(console.encoding)
    width = console.width
    shown = lines(report, columns=width, detail=detail, ascii_only=ascii_only, width=width)
    write_lines(console, shown)


def can_draw(encoding: str | None) -> bool:
    """Return whether Braille and box characters can be written in an encoding."""
    try:
        "⣿└".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lines(
    report: Report,
    *,
    columns: int = PIPE_COLUMNS,
    detail: Detail = "full",
    ascii_only: bool = False,
    width: int | None = None,
) -> Iterator[Line]:
    """Return the report's lines.

    Args:
        report: the diagnosis.
        columns: the width for its curves, 0 for none.
        detail: how much is told.
        ascii_only: draw the curves without Braille and box characters.
        width: at which a line that is to stay one is cut; None where nothing wraps.
    """
    from sftdiag.report import brief, full

    if detail == "line":
        return iter([full.verdict(report, words_of(report.language))])
    curves = _curves(report, columns, ascii_only)
    # What checks or probes say without a log is short as it is.
    if detail == "brief" and report.summary.last_step is not None:
        return brief.lines(report, curves, width)
    return full.lines(report, curves)


def failure(report: Report, failed: list[Finding]) -> str:
    """Return the diagnosis as the message of a failed assertion."""
    from sftdiag.report import full

    shown = full.failure(report, failed)
    return "\n".join(line.plain for line in shown)


def write_plain(report: Report, detail: Detail = "brief") -> None:
    """Write the report to standard output as plain text."""
    ascii_only = not can_draw(sys.stdout.encoding)
    sys.stdout.write(render(report, detail=detail, ascii_only=ascii_only))


def _curves(report: Report, columns: int, ascii_only: bool) -> Iterator[Line]:
    """Yield the curves' lines; none are drawn before they are asked for."""
    if not columns:
        return
    from sftdiag.report.curve import draw

    if drawn := draw(report, columns, ascii_only=ascii_only):
        yield Line(0)
        yield from (Line(0, ((row, ""),)) for row in drawn)
