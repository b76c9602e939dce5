"""The fleet as one HTML page that needs no other file."""

from __future__ import annotations

from html import escape

from sftdiag.fleets import cells
from sftdiag.fleets.fleet import Fleet

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1f2328; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #d1d9e0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.error { color: #b42318; } .warning { color: #93600a; } .healthy, .info { color: #1a7f37; }
"""


def page(fleet: Fleet) -> str:
    """Return the page."""
    title = escape(cells.words(fleet.language)["title"])
    return (
        f'<!doctype html>\n<html lang="{fleet.language}">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n{table(fleet)}</html>\n"
    )


def table(fleet: Fleet) -> str:
    """Return the summary and the table."""
    lang = fleet.language
    said = cells.words(lang)
    groups = "".join(f"<li>{escape(cells.group(group, lang))}</li>\n" for group in fleet.groups)
    heads = "".join(f"<th>{escape(said[name])}</th>" for name in cells.COLUMNS)
    lines = []
    for row in fleet.rows:
        shown = zip(cells.COLUMNS, cells.cells(row, lang), strict=True)
        kinds = {"verdict": f' class="{row.verdict}"'}
        kinds |= dict.fromkeys(cells.RIGHT, ' class="number"')
        lines.append("".join(f"<td{kinds.get(n, '')}>{escape(c)}</td>" for n, c in shown))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    lost = "".join(f"<p>{escape(line)}</p>\n" for line in cells.lost(fleet))
    return (
        f"<p>{escape(cells.counts(fleet))}</p>\n{lost}<ul>\n{groups}</ul>\n"
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    )
