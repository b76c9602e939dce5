"""The text report as an HTML fragment, for notebooks."""

from __future__ import annotations

import io

from sftdiag.findings import Report
from sftdiag.report.text import write_to

COLUMNS = 100
"""Width of the text; a notebook's output cell holds as many."""

_FRAME = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)


def render(report: Report) -> str:
    """Return the report as one ``<pre>`` element, with colours and without any other file."""
    from rich.console import Console

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    write_to(console, report)
    return console.export_html(code_format=_FRAME, inline_styles=True)
