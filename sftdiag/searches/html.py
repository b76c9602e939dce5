"""The result of a search as a page that needs no other file."""

from __future__ import annotations

from html import escape
from math import isfinite

from sftdiag.report.chart import still
from sftdiag.report.page import page as framed
from sftdiag.report.page import table
from sftdiag.report.svg import Panel
from sftdiag.searches import words
from sftdiag.searches.result import SearchResult
from sftdiag.searches.steps import SEEDS

HEIGHT = 220
"""Units of a step's panel of curves."""

PERCENT = 100


def page(result: SearchResult) -> str:
    """Return the page."""
    title = words.words(result.language)["title"]
    return framed(title, f"<h1>{escape(title)}</h1>\n{body(result)}", result.language)


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
    return still([panel], (), f"{said['loss']}, {said['share']} (%)", (0, PERCENT))


def _table(result: SearchResult) -> str:
    rows = []
    for trial in result.trials:
        shown = words.cells(result, trial)
        if trial.outcome.reason is not None:
            # Texts of exceptions may hold paths or rows: the type says enough on a page.
            named = trial.replace(outcome=trial.outcome.replace(detail=None))
            shown = words.cells(result, named)
        rows.append([escape(cell) for cell in shown])
    numbers = [place for place, name in enumerate(words.COLUMNS) if name in words.RIGHT]
    return table(words.heads(result.language), rows, numbers)
