"""SwanLab's offline run: ``run-*/run-*.swanlab``, framed as W&B's is.

A zero is an absent field: of a step and of a value alike. Its own system metrics are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from sftdiag.columns import Columns
from sftdiag.sources.framing import HEADER_BYTES, fields, records, text
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import Head
from sftdiag.sources.series import Point, rows

MAGIC = b":SWL"

_SCALAR = 13
_KEY, _STEP, _VALUE, _DOUBLE = 1, 2, 5, 1
"""Fields: a record's scalar; its key, step and value, and the value's number."""

_SYSTEM, _SINGLE = "__swanlab__", "single_value/"
"""Begin the names of what SwanLab measures itself, and of the closing row's numbers."""


def recognises(head: Head) -> bool:
    """Return whether the file begins as SwanLab's do."""
    return head.data.startswith(MAGIC) and len(head.data) > HEADER_BYTES


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read the rows."""

    def raw() -> Iterator[Row]:
        return rows(_points(head.path))

    return log_of("swanlab", raw, columns, spacing)


def _points(path: str) -> Iterator[Point]:
    with open(path, "rb") as file:
        for record in records(file):
            for number, content in fields(record):
                if number == _SCALAR and isinstance(content, bytes):
                    point = _point(content)
                    if point.name and not point.name.startswith(_SYSTEM):
                        yield point


def _point(scalar: bytes) -> Point:
    name, step, value = "", 0, 0.0
    for number, content in fields(scalar):
        if number == _KEY:
            name = text(content).removeprefix(_SINGLE)
        elif number == _STEP and isinstance(content, int):
            step = content
        elif number == _VALUE and isinstance(content, bytes):
            value = next((v for n, v in fields(content) if n == _DOUBLE), 0.0)  # type: ignore[assignment]
    return Point(name, step, value)
