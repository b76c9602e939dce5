"""The report as an HTML fragment, for notebooks: the text, and the curves of the page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from sftdiag.findings import Report
from sftdiag.report import chart, svg
from sftdiag.report.line import write_lines
from sftdiag.report.page import words_of_pages
from sftdiag.report.svg import Mark, Panel
from sftdiag.report.text import lines

if TYPE_CHECKING:
    from sftdiag.report.answers import Answers

COLUMNS = 100
"""Width of the text; a notebook's output cell holds as many."""

_FRAME = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)


def render(report: Report, answers: Answers | None = None) -> str:
    """Return the report as text with its curves below, in colours and without any other file.

    Args:
        report: the diagnosis.
        answers: of the model, to stand below both.
    """
    console = _console()
    words = words_of_pages(report.language)
    panels, marks = chart.of_report(report, words)
    # The curves are drawn below: in Braille only where there is nothing to draw.
    write_lines(console, lines(report, columns=0 if panels else COLUMNS, detail="brief"))
    text: str = console.export_html(code_format=_FRAME, inline_styles=True)
    if panels:
        text += _drawn(report, panels, marks, words)
    if answers:
        answers.write(console := _console(), report.language)
        text += console.export_html(code_format=_FRAME, inline_styles=True)
    return text


def _console() -> Any:
    from rich.console import Console

    # In a notebook rich shows what it writes, to a file, too; the HTML alone is to be shown.
    return Console(
        record=True, width=COLUMNS, file=io.StringIO(), highlight=False, force_jupyter=False
    )


def _drawn(report: Report, panels: list[Panel], marks: list[Mark], words: Mapping[str, Any]) -> str:
    """Return the curves with their legend; a notebook has no style sheet of ours."""
    title = chart.title_of(report.source, panels, words)
    curves = svg.draw(panels, marks, chart.span_of(panels), title)
    named = [
        (svg.SERIES[place % svg.COLOURS], "—", name)
        for panel in panels
        for place, name in enumerate(panel.series)
    ]
    named += [(svg.MARKS[mark.kind], "|", mark.label) for mark in marks if mark.kind in svg.MARKS]
    legend = " · ".join(
        f'<span style="color:{colour}">{sign}</span> {escape(name)}' for colour, sign, name in named
    )
    return f'<div style="max-width:{svg.WIDTH}px">{curves}\n<p>{legend}</p></div>'
