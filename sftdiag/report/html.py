"""A run's page: one file, readable without scripts, with nothing fetched from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from sftdiag import texts
from sftdiag.errors import ConfigError
from sftdiag.findings import Cause, Finding, Report, Severity, Status
from sftdiag.report import svg
from sftdiag.report.full import advised, fixes_of, number, setting, steps_done
from sftdiag.report.one_line import about, verdict_parts, words_of
from sftdiag.report.reduced import reduced
from sftdiag.report.results import Results
from sftdiag.signals.course import Course
from sftdiag.version import __version__

MOST_EPOCHS = 30
"""Borders of epochs that are drawn: more of them hide the curves."""

TALL, LOW = 300, 120
"""Units of the losses' panel, and of those below it."""


def render(results: Results) -> str:
    """Return the page of the one run that was read.

    Raises:
        ConfigError: there are more, or none.
    """
    if len(results.reports) != 1:
        told = f"html shows one run, and there are {len(results.reports)}; see sftdiag fleet"
        raise ConfigError(told).keyed("one_run", count=len(results.reports))
    return page(results.reports[0], results.courses[0])


def page(report: Report, course: Course) -> str:
    """Return the page of one run.

    Args:
        report: the diagnosis.
        course: the run's series, for the curves.
    """
    words = {**words_of(report.language), **texts.load(__file__, "html", report.language)}
    verdict = "".join(text for text, _ in verdict_parts(report, words))
    title = words["title"].format(verdict=verdict, source=report.source)
    body = "\n".join(_body(report, course, words))
    return (
        f'<!doctype html>\n<html lang="{report.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n"
        f"<body>\n{body}\n<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _body(report: Report, course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    yield "<main>\n<header>"
    badge, *rest = verdict_parts(report, words)
    told = escape("".join(text for text, _ in rest))
    yield f'<h1><span class="badge {report.verdict}">{escape(badge[0])}</span>{told}</h1>'
    facts = words["semicolon"].join(filter(None, (report.source, steps_done(report, words))))
    yield f'<p class="dim">{escape(facts)}</p>\n</header>'
    primary = report.primary
    if primary is not None:
        yield from _primary(primary, words)
    yield from _chart(report, course, words)
    others = [finding for finding in report.findings if finding is not primary]
    if others:
        yield f"<h2>{escape(words['others'])}</h2>\n<ul>"
        yield from (_other(finding, words) for finding in others)
        yield "</ul>"
    if primary is not None and not primary.by_check:
        yield from _folded(words["causes"], [_cause(cause, words) for cause in primary.causes])
    yield from _evaluations(course, words)
    skipped = [f"<li>{escape(n)}: {escape(why)}</li>" for n, why in report.skipped.items()]
    yield from _folded(words["not_judged"], ["<ul>", *skipped, "</ul>"] if skipped else [])
    clean = [n for n in report.ran if n not in {f.name for f in report.findings}]
    looked = [f"<p>{escape(words['comma'].join(clean))}</p>"] if clean else []
    yield from _folded(words["looked"], looked)
    yield from _settings(course, words)
    yield f"</main>\n<footer>{escape(words['made_by'].format(version=__version__))}</footer>"


def _primary(finding: Finding, words: Mapping[str, Any]) -> Iterator[str]:
    advice = advised(finding.causes)
    fixes = fixes_of(advice)
    if fixes:
        guess = advice[0].status is Status.POSSIBLE
        heading = escape(words["guess" if guess else "first_change"])
        yield f'<section class="change">\n<h2>{heading}</h2>\n<ul>'
        for text, changes in fixes.items():
            settings = "".join(
                f"<br><code>{escape(name)}: {escape(number(old))} → {escape(number(new))}</code>"
                for name, (old, new) in changes.items()
            )
            yield f"<li>{escape(text)}{settings}</li>"
        yield "</ul>\n</section>"
    label = finding.severity.label
    severity = escape(words[label if finding.severity > Severity.INFO else "note"])
    yield f'<h2>{finding.code} {finding.name} <span class="{label}">{severity}</span></h2>'
    yield f"<p>{escape(finding.message)}</p>"
    yield f"<p><b>{escape(words['why'])}</b>{escape(words['colon'] + finding.why)}</p>"
    for cause in advice if not finding.by_check else ():
        stated = words["cause_" + cause.status.name.lower()]
        yield f"<p><b>{escape(stated)}</b>{escape(words['colon'] + cause.name)}</p>"
        if cause.because:
            yield "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in cause.because) + "</ul>"


def _other(finding: Finding, words: Mapping[str, Any]) -> str:
    head = f"<b>{escape(f'{finding.code} {finding.name}')}</b>"
    beside = escape(words["comma"].join(about(finding, words)))
    note = f'<span class="{finding.severity.label}">{beside}</span>'
    return f"<li>{head} ({note}){escape(words['colon'] + finding.message)}</li>"


def _cause(cause: Cause, words: Mapping[str, Any]) -> str:
    head = f"<h3>{escape(words[cause.status.name.lower()] + words['colon'] + cause.name)}</h3>"
    sentences = [*cause.because]
    sentences += [f"{words['against']}{words['colon']}{s}" for s in cause.against]
    sentences += [f"{words['missing']}{words['colon']}{s}" for s in cause.missing]
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"{head}\n<ul>{items}</ul>" if items else head


def _folded(title: str, content: Sequence[str]) -> Iterator[str]:
    if content:
        yield f"<details>\n<summary>{escape(title)}</summary>"
        yield from content
        yield "</details>"


def _chart(report: Report, course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    marks = _marks(report, course, words)
    steps = [step for points in _all(course) for step, _ in points]
    if not steps:
        return
    span = min(steps), max(steps)
    marked = {mark.step for mark in marks}
    losses = {"loss": reduced(course.loss, marked)}
    losses |= {name: reduced(points, marked) for name, points in course.evaluations.items()}
    shown = [("loss", losses, TALL)]
    shown += [("grad_norm", {"grad_norm": reduced(course.grad_norm, marked)}, LOW)]
    shown += [("learning_rate", {"learning_rate": reduced(course.learning_rate, marked)}, LOW)]
    panels = [
        svg.Panel(name, series, height, linear=name == "learning_rate")
        for name, series, height in shown
    ]
    panels = [panel for panel in panels if panel.series]
    title = words["curves"].format(source=report.source, first=span[0], last=span[1])
    yield '<div class="bar">'
    for key, pressed in (("log", ' aria-pressed="false"'), ("reset", ""), ("theme", "")):
        label = words["log_scale" if key == "log" else key]
        yield f'<button type="button" id="{key}"{pressed}>{escape(label)}</button>'
    yield f'<span class="dim">{escape(words["hint"])}</span>\n</div>'
    yield f'<div class="chart" tabindex="0" role="group" aria-label="{escape(title)}">'
    yield svg.draw(panels, marks, span, title)
    yield '</div>\n<p class="values" aria-live="polite"></p>'
    yield _legend(panels, marks)
    yield _data(panels, marks, span, words)


def _all(course: Course) -> list[Sequence[tuple[int, float]]]:
    return [course.loss, course.grad_norm, course.learning_rate, *course.evaluations.values()]


def _marks(report: Report, course: Course, words: Mapping[str, Any]) -> list[svg.Mark]:
    found = []
    borders = [
        (step, int(now))
        for (_, before), (step, now) in pairwise(course.epochs)
        if int(now) > int(before)
    ]
    if len(borders) <= MOST_EPOCHS:
        found += [svg.Mark(s, "epoch", words["epoch_mark"].format(epoch=e)) for s, e in borders]
    for step in course.context.resumed_steps or ():
        found.append(svg.Mark(step, "resumed", words["resumed_mark"].format(step=step)))
    primary = report.primary
    if primary is not None and primary.fired_step:
        about = {"code": primary.code, "name": primary.name}
        told = words["onset_mark"].format(step=primary.onset_step, **about)
        found.append(svg.Mark(primary.onset_step, "onset", told))
        told = words["fired_mark"].format(step=primary.fired_step, **about)
        found.append(svg.Mark(primary.fired_step, "fired", told))
    for series, points in list(course.evaluations.items())[:1]:
        step, loss = min(points, key=lambda point: point[1])
        found.append(
            svg.Mark(step, "best", words["best_mark"].format(series=series, loss=loss, step=step))
        )
    return found


def _legend(panels: Sequence[svg.Panel], marks: Sequence[svg.Mark]) -> str:
    items = []
    for panel in panels:
        items += [
            f'<li class="k{place % svg.COLOURS}"><b>—</b> {escape(name)}</li>'
            for place, name in enumerate(panel.series)
        ]
    items += [
        f'<li class="{mark.kind}"><b>|</b> {escape(mark.label)}</li>'
        for mark in marks
        if mark.kind != "epoch"
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _data(
    panels: Sequence[svg.Panel],
    marks: Sequence[svg.Mark],
    span: tuple[int, int],
    words: Mapping[str, Any],
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
        "panels": [
            {
                "height": panel.height,
                "log": panel.logarithmic,
                "linear": panel.linear,
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


def _evaluations(course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    if not course.evaluations:
        return
    epochs = dict(course.epochs)
    names = list(course.evaluations)
    steps = sorted({step for points in course.evaluations.values() for step, _ in points})
    kept = {step for step, _ in reduced([(step, 0.0) for step in steps], most=256)}
    known = {name: dict(points) for name, points in course.evaluations.items()}
    rows = ['<div class="scroll">', "<table>"]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows.append(
        f'<tr><th scope="col">{escape(words["step"])}</th>'
        f'<th scope="col">{escape(words["epoch"])}</th>{head}</tr>'
    )
    for step in (step for step in steps if step in kept):
        epoch = f"{epochs[step]:.3g}" if step in epochs else ""
        cells = "".join(
            f"<td>{known[name][step]:.4g}</td>" if step in known[name] else "<td></td>"
            for name in names
        )
        rows.append(f"<tr><td>{step:,}</td><td>{epoch}</td>{cells}</tr>")
    yield from _folded(words["evaluations"], [*rows, "</table>", "</div>"])


def _settings(course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name in course.context.fields:
        value = getattr(course.context, name)
        if value is not None and value != () and not name.endswith("fingerprint"):
            shown = setting(value)
            rows.append(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(shown)}</td></tr>")
    yield from _folded(words["settings"], ["<table>", *rows, "</table>"] if rows else [])
