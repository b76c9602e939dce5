"""``report.show()``: a report where a person reads it, be it a terminal, a notebook or a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sftdiag.findings import Report
from sftdiag.report import text

if TYPE_CHECKING:
    from sftdiag.report.answers import Answers


def show(report: Report, answers: Answers | None = None) -> None:
    """Print a report to standard output; answers of the model where a person reads at once.

    In a notebook it is displayed, on a terminal in colour; a pipe or a file gets plain text, and a
    line in place of the answers.
    """
    display = _notebook()
    if display is not None:
        display(report)
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        text.write_to(console, report)
        if answers:
            answers.write(console, report.language)
    else:
        text.write_plain(report)
        if answers:
            from sftdiag.report.answers import without_texts

            sys.stdout.write(f"\n{without_texts(report.language)}\n")


def _notebook() -> Any:
    """Return what displays an object in a notebook; None outside of one."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    return sys.modules["IPython.display"].display
