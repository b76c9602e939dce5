"""Curves on a page: panels over the same steps, their legend, and what the script zooms them by."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from sftdiag.findings import Report
from sftdiag.report import svg
from sftdiag.report.axis import LEAST_SHARE
from sftdiag.report.reduced import Points, reduced
from sftdiag.signals.course import Course

MOST_EPOCHS = 30
"""Borders of epochs that are drawn: more of them hide the curves."""

TALL, LOW = 300, 120
"""Units of the losses' panel, and of those below it."""

Words = Mapping[str, Any]


def panels_of(
    losses: Mapping[str, Points],
    norms: Points,
    rates: Points,
    marked: Collection[int],
    gaps: Mapping[str, Sequence[int]],
) -> list[svg.Panel]:
    """Return the panels of a run: the losses, the gradient norm and the learning rate.

    Args:
        losses: the train loss and the evaluation losses, by name.
        norms: the gradient norm.
        rates: the learning rate.
        marked: steps whose points are kept in any case.
        gaps: name of a series to the steps of points behind which it was lost.
    """

    def panel(name: str, series: Mapping[str, Points], height: int) -> svg.Panel:
        kept = {
            key: reduced(points, {*marked, *gaps.get(key, ())}) for key, points in series.items()
        }
        # Reduced curves keep their extremes, and so more of their noise than they had.
        noisy = [value for _, value in next(iter(series.values()), ())]
        ratios = name == "grad_norm"
        return svg.Panel(name, kept, height, ratios=ratios, noisy=noisy, gaps=gaps)

    panels = [panel("loss", losses, TALL), panel("grad_norm", {"grad_norm": norms}, LOW)]
    rate = {"learning_rate": reduced(rates, marked)}
    panels.append(svg.Panel("learning_rate", rate, LOW, linear=True))
    return [panel for panel in panels if panel.series]


def of_course(
    report: Report, course: Course, words: Words
) -> tuple[list[svg.Panel], list[svg.Mark]]:
    """Return the panels and marks of a run."""
    borders = [
        (step, int(now))
        for (_, before), (step, now) in pairwise(course.epochs)
        if int(now) > int(before)
    ]
    marks: list[svg.Mark] = []
    if len(borders) <= MOST_EPOCHS:
        marks += [svg.Mark(s, "epoch", words["epoch_mark"].format(epoch=e)) for s, e in borders]
    for step in course.context.resumed_steps or ():
        told = words["resumed_mark"].format(step=step)
        marks.append(svg.Mark(step, "resumed", told, words["resumed_name"]))
    marks += _marks(report, course.evaluations, words)
    losses = {"loss": course.loss, **course.evaluations}
    marked = {mark.step for mark in marks}
    panels = panels_of(losses, course.grad_norm, course.learning_rate, marked, course.gaps)
    return panels, marks


def of_report(report: Report, words: Words) -> tuple[list[svg.Panel], list[svg.Mark]]:
    """Return the same of a report alone, by the points that it keeps."""
    kept = {c.series: tuple(zip(c.steps, c.values, strict=True)) for c in report.curves}
    norms, rates = kept.pop("grad_norm", ()), kept.pop("learning_rate", ())
    evaluations = {name: points for name, points in kept.items() if name != "loss"}
    marks = list(_marks(report, evaluations, words))
    gaps = {curve.series: curve.gaps for curve in report.curves}
    return panels_of(kept, norms, rates, {mark.step for mark in marks}, gaps), marks


def _marks(report: Report, evaluations: Mapping[str, Points], words: Words) -> Iterator[svg.Mark]:
    for series, points in list(evaluations.items())[:1]:
        sound = [point for point in points if report.summary.is_sound(point[0])]
        if not sound:
            break
        step, loss = min(sound, key=lambda point: point[1])
        told = words["best_mark"].format(series=series, loss=loss, step=step)
        yield svg.Mark(step, "best", told, words["best_name"].format(loss=loss))
    primary = report.primary
    if primary is not None and primary.fired_step:
        about = {"code": primary.code, "name": primary.name}
        told = words["onset_mark"].format(step=primary.onset_step, **about)
        name = words["onset_name"].format(**about)
        yield svg.Mark(primary.onset_step, "onset", told, name)
        told = words["fired_mark"].format(step=primary.fired_step, **about)
        name = words["fired_name"].format(**about)
        yield svg.Mark(primary.fired_step, "fired", told, name)


def span_of(panels: Sequence[svg.Panel]) -> tuple[int, int]:
    """Return the first and the last step of all series."""
    steps = [step for panel in panels for points in panel.series.values() for step, _ in points]
    return min(steps), max(steps)


def title_of(source: str, panels: Sequence[svg.Panel], words: Words) -> str:
    """Return what the curves of a run are called, for who does not see them."""
    first, last = span_of(panels)
    return str(words["curves"].format(source=source, first=first, last=last))


def still(
    panels: Sequence[svg.Panel],
    marks: Sequence[svg.Mark],
    title: str,
    span: tuple[int, int] | None = None,
) -> str:
    """Return curves with their legend, for where no script runs."""
    drawn = svg.draw(panels, marks, span or span_of(panels), title)
    return f"{drawn}\n{legend(panels, marks)}"


def live(
    panels: Sequence[svg.Panel],
    marks: Sequence[svg.Mark],
    title: str,
    words: Words,
    *,
    overlaid: bool = False,
) -> Iterator[str]:
    """Yield the same with what the page's script needs to zoom it: one such chart a page.

    Args:
        panels: over the same steps.
        marks: over all panels.
        title: what the curves are of.
        words: of :func:`sftdiag.report.page.words_of_pages`.
        overlaid: the series are runs, and a panel says of what.
    """
    span = span_of(panels)
    yield '<div class="bar">'
    for key, pressed in (("log", ' aria-pressed="false"'), ("reset", "")):
        label = words["log_scale" if key == "log" else key]
        yield f'<button type="button" id="{key}"{pressed}>{escape(label)}</button>'
    yield f'<span class="dim">{escape(words["hint"])}</span>\n</div>'
    yield f'<div class="chart" tabindex="0" role="group" aria-label="{escape(title)}">'
    yield svg.draw(panels, marks, span, title)
    yield '</div>\n<p class="values" aria-live="polite"></p>'
    yield legend(panels, marks)
    yield _data(panels, marks, span, words, overlaid)


def legend(panels: Sequence[svg.Panel], marks: Sequence[svg.Mark]) -> str:
    """Return what the colours are; series that several panels show are named once.

    A panel that shows nothing but what its axis is called needs no colour: all begin with the same.
    """
    items = []
    for panel in panels:
        if list(panel.series) == [panel.name]:
            continue
        for place, name in enumerate(panel.series):
            items.append(f'<li class="k{place % svg.COLOURS}"><b>—</b> {escape(name)}</li>')
    for mark in marks:
        if mark.kind != "epoch":
            items.append(f'<li class="{mark.kind}"><b>|</b> {escape(mark.label)}</li>')
    return f'<ul class="legend">{"".join(dict.fromkeys(items))}</ul>'


def _data(
    panels: Sequence[svg.Panel],
    marks: Sequence[svg.Mark],
    span: tuple[int, int],
    words: Words,
    overlaid: bool,
) -> str:
    """Return the numbers that the script redraws the curves from."""
    content = {
        "span": span,
        "frame": {
            "left": svg.LEFT,
            "right": svg.RIGHT,
            "width": svg.WIDTH,
            "top": svg.TOP,
            "bottom": svg.BOTTOM,
        },
        "marks": [mark.step for mark in marks],
        "words": {"step": words["step"]},
        "overlaid": overlaid,
        "panels": [
            {
                "name": panel.name,
                "height": panel.height,
                "log": panel.logarithmic,
                "linear": panel.linear,
                "least": [LEAST_SHARE, float(f"{panel.least:.6g}")],
                "bands": dict(panel.bands),
                "gaps": {key: list(steps) for key, steps in panel.gaps.items() if steps},
                "series": {
                    name: [(step, float(f"{value:.6g}")) for step, value in points]
                    for name, points in panel.series.items()
                },
            }
            for panel in panels
        ],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    # Inside a script element nothing but its end tag and comments is markup.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="curves">{safe}</script>'
