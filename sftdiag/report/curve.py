"""The run's curves in the terminal: the train loss as a line, evaluations as circles."""

from __future__ import annotations

from itertools import pairwise
from math import log10

from plotille import Canvas

from sftdiag.findings import Report

WIDTH, HEIGHT = 62, 9
"""Characters of the plot: fits a terminal of 80 columns with its labels."""

EXPLOSION = 8.0
"""Largest value over the first loss from which a linear axis hides all but the explosion."""

LABEL = 9
"""Columns of the labels on the left."""


def draw(report: Report) -> list[str]:
    """Return the plot's lines, or none when there are fewer than two points to join."""
    curves = [curve for curve in report.curves if curve.series == "loss" or _is_main(curve.series)]
    values = [value for curve in curves for value in curve.values]
    steps = [step for curve in curves for step in curve.steps]
    if len(values) < 2 or min(steps) == max(steps):
        return []
    last_step = max(max(steps), report.summary.last_step or 0)
    use_log = min(values) > 0 and max(values) > EXPLOSION * curves[0].values[0]

    def scaled(value: float) -> float:
        return log10(value) if use_log else value

    low, high = scaled(min(values)), scaled(max(values))
    if low == high:
        low, high = low - 0.5, high + 0.5
    margin = (high - low) * 0.02
    canvas = Canvas(WIDTH, HEIGHT, min(steps), low - margin, last_step, high + margin)
    onset = report.primary.onset_step if report.primary else None
    if onset is not None and min(steps) <= onset <= last_step:
        canvas.line(onset, low, onset, high)
    for curve in curves:
        points = [
            (step, scaled(value)) for step, value in zip(curve.steps, curve.values, strict=True)
        ]
        if curve.series == "loss":
            for start, end in pairwise(points):
                canvas.line(*start, *end)
        else:
            for x, y in points:
                canvas.point(x, y, marker="o")
    rows = canvas.plot().split("\n")
    labels = {0: max(values), len(rows) - 1: min(values)}
    lines = [f"{_label(labels.get(i)):>{LABEL}} ┤{row.rstrip()}" for i, row in enumerate(rows)]
    lines.append(f"{'':>{LABEL}} └{'─' * WIDTH}")
    lines.append(_ticks(min(steps), last_step, onset))
    names = ["─ loss"] + [f"o {curve.series}" for curve in curves if curve.series != "loss"]
    legend = "   ".join(names) + ("   log scale" if use_log else "")
    return [*lines, f"{'':>{LABEL}}  {legend}"]


def _is_main(series: str) -> bool:
    return series == "eval_loss"


def _label(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _ticks(first: int, last: int, onset: int | None) -> str:
    """Return the line of step numbers, the onset's marked, where they do not collide."""
    row = [" "] * (WIDTH + 8)

    def put(text: str, column: int) -> None:
        column = max(0, min(column, WIDTH - len(text)))
        around = row[max(0, column - 1) : column + len(text) + 1]
        if all(cell == " " for cell in around):
            row[column : column + len(text)] = text

    if onset is not None and first <= onset <= last:
        put(f"▲ {onset:,}", round((onset - first) / (last - first) * (WIDTH - 1)))
    put(f"{last:,}", WIDTH)
    put(f"{first:,}", 0)
    return f"{'':>{LABEL}}  {''.join(row).rstrip()}"
