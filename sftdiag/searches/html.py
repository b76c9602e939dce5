"""The result of a search as a page that needs no other file."""

from __future__ import annotations

from html import escape
from math import isfinite

from sftdiag.report.svg import Panel, draw
from sftdiag.searches import words
from sftdiag.searches.result import SearchResult
from sftdiag.searches.steps import SEEDS

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1f2328; max-width: 60rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #d1d9e0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; } .grid { stroke: #eaeef2; } .frame { fill: none; stroke: #d1d9e0; }
.tick, .axis { font-size: 11px; fill: #59636e; } .series { fill: none; stroke-width: 1.5; }
.s0 { stroke: #0969da; } .s1 { stroke: #bc4c00; } .s2 { stroke: #1a7f37; } .s3 { stroke: #8250df; }
"""

HEIGHT = 220
"""Units of a step's panel of curves."""

PERCENT = 100


def page(result: SearchResult) -> str:
    """Return the page."""
    title = escape(words.words(result.language)["title"])
    return (
        f'<!doctype html>\n<html lang="{result.language}">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n{body(result)}</html>\n"
    )


def body(result: SearchResult) -> str:
    """Return the choices with the curves of their trials, the diff and the table."""
    said = words.words(result.language)
    parts = [f"<p>{'<br>'.join(map(escape, words.about(result)))}</p>"]
    for made in result.choices:
        told = "<br>".join(map(escape, words.choice(result, made)))
        parts.append(f"<h2>{escape(said[made.step])}</h2>\n<p>{told}</p>")
        parts.append(_curves(result, made.step))
    changed = "\n".join(map(escape, words.changes(result)))
    parts.append(f"<h2>{escape(said['settings'])}</h2>\n<pre>{changed}</pre>")
    parts.append(f"<h2>{escape(said['trials'])}</h2>\n{_table(result)}")
    return "\n".join(parts) + "\n"


def _curves(result: SearchResult, step: str) -> str:
    """Return the evaluation losses of a step's trials over the share of their schedules."""
    said = words.words(result.language)
    series = {}
    for trial in result.trials:
        points = [(x, y) for x, y in trial.outcome.shares if isfinite(y)]
        if trial.step == step and step != SEEDS and len(points) > 1:
            name = f"{trial.number}: {words.value(result, step, trial.settings)}"
            series[name] = tuple((round(PERCENT * x), y) for x, y in points)
    if not series:
        return ""
    panel = Panel(said["loss"], series, HEIGHT)
    return draw([panel], (), (0, PERCENT), f"{said['loss']}, {said['share']} (%)")


def _table(result: SearchResult) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head in words.heads(result.language))
    rows = []
    for trial in result.trials:
        shown = words.cells(result, trial)
        if trial.outcome.reason is not None:
            # Texts of exceptions may hold paths or rows: the type says enough on a page.
            named = trial.replace(outcome=trial.outcome.replace(detail=None))
            shown = words.cells(result, named)
        cells = [
            f"<td{' class=number' * (name in words.RIGHT)}>{escape(cell)}</td>"
            for name, cell in zip(words.COLUMNS, shown, strict=True)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    lines = "\n".join(rows)
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
