"""The fleet as a page: a table a group, the largest first, and each run with its curves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sftdiag.fleets import cells
from sftdiag.fleets.fleet import Fleet
from sftdiag.fleets.row import Row
from sftdiag.report import spark
from sftdiag.report.page import grouped, table
from sftdiag.report.page import page as framed

RUN = "run"
"""The column that names a run: the first on a page, beside its curves."""

CURVES = "losses"

ORDER = (RUN, *(name for name in cells.COLUMNS if name != RUN))


def page(fleet: Fleet) -> str:
    """Return the page."""
    title = cells.words(fleet.language)["title"]
    body = f"<h1>{escape(title)}</h1>\n{_summary(fleet)}\n{_groups(fleet)}"
    return framed(title, body, fleet.language, wide=True)


def fragment(fleet: Fleet) -> str:
    """Return the same without a page around it, for notebooks: the runs in one table."""
    columns = _used(fleet, ORDER)
    heads, rows, numbers = _table(fleet, fleet.rows, columns)
    return f"{_summary(fleet)}\n{table(heads, rows, numbers)}"


def _summary(fleet: Fleet) -> str:
    lost = "".join(f"<p>{escape(line)}</p>\n" for line in cells.lost(fleet))
    return f"<p>{escape(cells.counts(fleet))}</p>\n{lost}"


def _groups(fleet: Fleet) -> str:
    """Return links to the groups and their table; those without a finding are the last group."""
    lang = fleet.language
    said = cells.words(lang)
    found = [(cells.group(group, lang), rows) for group, rows in fleet.grouped()]
    named = {row.run for _, rows in found for row in rows}
    if rest := [row for row in fleet.rows if row.run not in named]:
        found.append((said["rest"].format(runs=cells.number(len(rest), lang)), rest))
    # The cause is what a group is made of, and stands above it.
    columns = _used(fleet, [name for name in ORDER if name != "cause"])
    links, groups = [], []
    for number, (title, rows) in enumerate(found):
        links.append(f'<li><a href="#g{number}">{escape(title)}</a></li>')
        heads, lines, numbers = _table(fleet, rows, columns)
        groups.append((f'<span id="g{number}">{escape(title)}</span>', lines))
    body = grouped(heads, groups, numbers, name=0) if groups else ""
    legend = f'<p class="dim">{escape(said["legend"])}</p>'
    return "\n".join(["<nav><ul>", *links, "</ul></nav>", legend, body])


def _table(
    fleet: Fleet, rows: Sequence[Row], columns: Sequence[str]
) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the heads, the cells as markup, and which columns are of numbers."""
    heads = [cells.words(fleet.language)[name] for name in columns]
    lines = [_cells(row, columns, fleet.language) for row in rows]
    return heads, lines, [place for place, name in enumerate(columns) if name in cells.RIGHT]


def _used(fleet: Fleet, names: Sequence[str]) -> list[str]:
    """Return the columns in which some run has something, and the curves beside the run."""
    told = [cells.cells(row, fleet.language) for row in fleet.rows]
    used = [name for name in names if any(row[cells.COLUMNS.index(name)] for row in told)]
    return [*used[:1], CURVES, *used[1:]]


def _cells(row: Row, columns: Sequence[str], lang: str) -> list[str]:
    """Return a row's cells as markup; one that cannot be read says why in the place of its name."""
    words = dict(zip(cells.COLUMNS, map(escape, cells.cells(row, lang)), strict=True))
    words["verdict"] = f'<span class="{row.verdict} nowrap">{words["verdict"]}</span>'
    told = cells.words(lang)["curves_of"].format(run=row.run)
    words[CURVES] = spark.element(row.curves, told)
    return [words[name] for name in columns]
