"""The consoles of docs/frameworks.md: below a framework's heading, between two marks."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import marked

PAGE = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"

SHOWN = ("sftdiag: ", "WARNING:sftdiag:", "ERROR:sftdiag:", "{'loss'")

UP = re.compile(r"\x1b\[A")
"""What a progress bar above another writes before a line."""

LINES = 16
"""The most of a console that the page shows: what sftdiag said, and the rows before it."""

MARK = "<!-- console of {} -->"


def write(name: str, console: str) -> None:
    """Put the end of a console between a framework's marks, where the page has them."""
    marked.put(PAGE, MARK.format(name), f"```\n{excerpt(console)}\n```")


def excerpt(console: str) -> str:
    """Return the first lines in which sftdiag speaks, and the rows of the log around them."""
    lines = (UP.sub("", line.split("\r")[-1]).strip() for line in console.splitlines())
    return "\n".join([line for line in lines if line.startswith(SHOWN)][:LINES])
