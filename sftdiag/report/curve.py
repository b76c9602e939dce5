"""The run's curves in the terminal: the train loss as a line, evaluations as circles."""

from __future__ import annotations

from math import log10

from sftdiag.findings import Report
from sftdiag.report.axis import axis_of
from sftdiag.report.braille import Canvas
from sftdiag.report.one_line import words_of
from sftdiag.report.reduced import parts

WIDTH, HEIGHT = 62, 9
"""Characters of the plot: fits a terminal of 80 columns with its labels."""

MARGIN = 3
"""Columns of the axis and at the right."""

LEAST_COLUMNS = 40
"""Columns from which on the curves are drawn: 28 of a plot still show where one turns."""

LABEL = 9
"""Columns of the labels on the left."""

_BOXES, _ASCII = ("┤", "└", "─", "▲"), ("|", "+", "-", "^")
"""The axis, its corner, its base and the mark of the onset."""


def draw(report: Report, columns: int = 80, *, ascii_only: bool = False) -> list[str]:
    """Return the plot's lines, or none when there are fewer than two points to join.

    Args:
        report: the diagnosis.
        columns: of the terminal; none are drawn below :data:`LEAST_COLUMNS`.
        ascii_only: use no Braille and no box characters.
    """
    if columns < LEAST_COLUMNS:
        return []
    width = min(WIDTH, columns - LABEL - MARGIN)
    # A finding of another series, as of the learning rate, has a scale of its own.
    evaluation = report.primary.series if report.primary else "eval_loss"
    if not evaluation.startswith("eval_"):
        evaluation = "eval_loss"
    curves = [curve for curve in report.curves if curve.series in ("loss", evaluation)]
    values = [value for curve in curves for value in curve.values]
    steps = [step for curve in curves for step in curve.steps]
    if len(values) < 2 or min(steps) == max(steps):
        return []
    first = min(*steps, report.summary.first_step or 0)
    last = max(*steps, report.summary.last_step or 0)
    axis = axis_of([list(zip(c.steps, c.values, strict=True)) for c in curves])
    use_log, low, high = axis.logarithmic, axis.low, axis.high
    bottom, top = (log10(low), log10(high)) if use_log else (low, high)

    def across(step: int) -> float:
        return (step - first) / (last - first)

    def up(value: float) -> float:
        height = log10(value) if use_log else value
        return (height - bottom) / (top - bottom)

    canvas = Canvas(width, HEIGHT)
    onset = report.primary.onset_step if report.primary else None
    if onset is not None and first <= onset <= last:
        canvas.line([(across(onset), 0.0), (across(onset), 1.0)])
    for curve in curves:
        points = list(zip(curve.steps, curve.values, strict=True))
        if curve.series == "loss":
            for part in parts(points, curve.gaps):
                canvas.line((across(step), up(value)) for step, value in part)
        else:
            for step, value in points:
                canvas.mark(across(step), up(value), "o")
    rows = canvas.rows(ascii_only=ascii_only)
    labels = {0: f"{high:.3g}", len(rows) - 1: f"{low:.3g}"}
    marks = _ASCII if ascii_only else _BOXES
    lines = [f"{labels.get(i, ''):>{LABEL}} {marks[0]}{row.rstrip()}" for i, row in enumerate(rows)]
    lines.append(f"{'':>{LABEL}} {marks[1]}{marks[2] * width}")
    began = words_of(report.language)["curve_mark"]
    if report.primary is not None:
        began = began.format(code=report.primary.code)
    lines.append(_ticks(first, last, onset, width, marks[3], began))
    names = [f"{marks[2] if c.series == 'loss' else 'o'} {c.series}" for c in curves]
    legend = "   ".join(names) + ("   log scale" if use_log else "")
    return [*lines, f"{'':>{LABEL}}  {legend}"]


def _ticks(first: int, last: int, onset: int | None, width: int, mark: str, began: str) -> str:
    """Return the line of step numbers, where they do not collide; the onset's says what it is."""
    row = [" "] * width

    def put(text: str, column: int) -> None:
        column = max(0, min(column, width - len(text)))
        around = row[max(0, column - 1) : column + len(text) + 1]
        if all(cell == " " for cell in around):
            row[column : column + len(text)] = text

    if onset is not None and first <= onset <= last:
        column = round((onset - first) / (last - first) * (width - 1))
        told = f"{mark} {onset:,} {began}"
        if column + len(told) <= width:
            put(told, column)
        else:
            told = f"{began} {onset:,} {mark}"
            put(told, column - len(told) + 1)
    put(f"{last:,}", width)
    put(f"{first:,}", 0)
    return f"{'':>{LABEL}}  {''.join(row).rstrip()}"
