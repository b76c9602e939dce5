"""The result of a search as text."""

from __future__ import annotations

from collections.abc import Iterator

from sftdiag.report.braille import Canvas
from sftdiag.report.line import Line
from sftdiag.report.table import columns, joined
from sftdiag.searches import words
from sftdiag.searches.result import SearchResult

CURVE = 10
"""Characters of a trial's curve: twenty points, more than most trials have evaluations."""


def render(result: SearchResult) -> str:
    """Return the result as plain text, ending with a newline."""
    return "\n".join(line.plain for line in lines(result)) + "\n"


def lines(result: SearchResult) -> Iterator[Line]:
    """Yield the lines: what was searched, the four choices, the diff, the trials."""
    lang = result.language
    said = words.words(lang)
    yield Line(0, ((said["title"], "bold"),))
    for line in words.about(result):
        yield Line(2, ((line, "dim"),))
    for made in result.choices:
        first, *rest = words.choice(result, made)
        yield Line(0)
        yield Line(0, ((said[made.step], "bold"), (f"  {first}", "")))
        for line in rest:
            yield Line(2, ((line, ""),))
    yield Line(0)
    yield Line(0, ((said["settings"], "bold"),))
    for line in words.changes(result):
        yield Line(2, ((line, ""),))
    yield Line(0)
    yield from _table(result)


def _table(result: SearchResult) -> Iterator[Line]:
    lang = result.language
    rows = [words.cells(result, trial) for trial in result.trials]
    heads = words.heads(lang)
    widths = [max(map(columns, column)) for column in zip(heads, *rows, strict=True)]
    right = [name in words.RIGHT for name in words.COLUMNS]
    yield Line(0, ((f"{joined(heads, widths, right)}  {words.words(lang)['curve']}", "bold"),))
    for trial, row in zip(result.trials, rows, strict=True):
        drawn = curve(trial.outcome.shares)
        yield Line(0, ((f"{joined(row, widths, right)}  {drawn}", ""),))


def curve(points: list[tuple[float, float]]) -> str:
    """Return evaluations over the share of the schedule, in one row of characters."""
    losses = [loss for _, loss in points if abs(loss) < float("inf")]
    if len(losses) < 2 or max(losses) == min(losses):
        return ""
    low, span = min(losses), max(losses) - min(losses)
    canvas = Canvas(CURVE, 1)
    canvas.line((x, (y - low) / span) for x, y in points if abs(y) < float("inf"))
    return canvas.rows()[0]
