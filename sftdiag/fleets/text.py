"""The fleet as text: counts, groups by cause, and the table, the severest run first."""

from __future__ import annotations

from collections.abc import Iterator

from sftdiag.fleets import cells
from sftdiag.fleets.fleet import Fleet
from sftdiag.fleets.row import UNREADABLE
from sftdiag.report.line import Line
from sftdiag.report.one_line import STYLES
from sftdiag.report.table import GAP, columns, joined, padded


def render(fleet: Fleet) -> str:
    """Return the fleet as plain text, ending with a newline."""
    return "\n".join(line.plain for line in lines(fleet)) + "\n"


def print_to_terminal(fleet: Fleet) -> None:
    """Print the fleet to standard output in colour, a run a line, cut at the terminal's width."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines(fleet):
        text = Text.assemble(" " * line.indent, *line.parts)
        console.print(text, no_wrap=True, overflow="ellipsis")


def lines(fleet: Fleet) -> Iterator[Line]:
    """Yield the lines: the summary, then the table."""
    yield from summary(fleet)
    yield Line(0)
    yield from table(fleet)


def summary(fleet: Fleet) -> Iterator[Line]:
    """Yield how many runs there are of each verdict, what they cost, and their groups by cause."""
    yield Line(0, ((cells.counts(fleet), "bold"),))
    yield from (Line(0, ((line, "dim"),)) for line in cells.lost(fleet))
    for group in fleet.groups:
        yield Line(2, ((cells.group(group, fleet.language), ""),))


def table(fleet: Fleet) -> Iterator[Line]:
    """Yield the table; columns in which no run has anything are left out."""
    lang = fleet.language
    rows = [cells.cells(row, lang) for row in fleet.rows]
    said = cells.words(lang)
    used = [index for index in range(len(cells.COLUMNS)) if any(row[index] for row in rows)]
    heads = [said[cells.COLUMNS[index]] for index in used]
    shown = [[row[index] for index in used] for row in rows]
    widths = [max(map(columns, column)) for column in zip(heads, *shown, strict=True)]
    right = [cells.COLUMNS[index] in cells.RIGHT for index in used]
    yield Line(0, ((joined(heads, widths, right), "bold"),))
    for row, words in zip(fleet.rows, shown, strict=True):
        style = STYLES.get(row.verdict, "dim" if row.verdict == UNREADABLE else "")
        first, rest = padded(words[0], widths[0]), joined(words[1:], widths[1:], right[1:])
        yield Line(0, ((first, style), (GAP + rest, "")))
