"""JSON objects of a whole run: a list a metric, a list of rows, or ClearML's curves of x and y."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.columns import STEPS, Columns, canonical, plain, tells_loss
from sftdiag.errors import SourceError
from sftdiag.records import as_step
from sftdiag.sources import long_rows
from sftdiag.sources.console.dicts import is_row
from sftdiag.sources.json_rows import MOST_LIST_BYTES, log_of
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import Head, read_text
from sftdiag.sources.series import Point, rows

_KEY = re.compile(r'"([^"\\]{1,120})"\s*:\s*[\[{]')

DEEPEST = 2
"""Levels of objects in which the run is looked for: its own, and one above it."""


def recognises(head: Head) -> bool:
    """Return whether it is one JSON object in which a list, or an object, is named as a loss."""
    text = head.text.lstrip("\ufeff \t\r\n")
    if not text.startswith("{") or not _may_hold(text):
        return False
    return bool(_rows(_content(head)))


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read the rows that its lists make."""
    found = _rows(_content(head))
    return log_of("json-columns", lambda: iter(found), columns, spacing)


def _may_hold(text: str) -> bool:
    names = _KEY.findall(text)
    return any(map(tells_loss, names)) or any(word in text for word in _LONG)


_LONG = ('"metricName"', '"metricValue"', '"loss":', '"loss" :', '"eval_loss":')


def _content(head: Head) -> Any:
    try:
        text = head.text if head.whole else read_text(head.path, MOST_LIST_BYTES)
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError, SourceError):
        return None


def _rows(content: Any, depth: int = 0) -> list[Row]:
    if not isinstance(content, Mapping):
        return []
    if found := _of_lists(content) or _of_curves(content):
        return found
    for value in content.values():
        if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
            shape = long_rows.shape(value[0])
            told = list(long_rows.turned(value, shape)) if shape else value
            if any(map(is_row, told)):
                return told
    inner = (_rows(value, depth + 1) for value in content.values()) if depth < DEEPEST else ()
    return next(filter(None, inner), [])


def _of_lists(content: Mapping[str, Any]) -> list[Row]:
    """Return the rows of ``{"loss": [2.5, 2.0], "val_loss": [2.25]}``, or of pandas' objects.

    A shorter list, as of evaluations, is spread evenly over the longest.
    """
    lists = {name: _as_list(value) for name, value in content.items()}
    known = {name: values for name, values in lists.items() if values}
    if not any(map(tells_loss, known)):
        return []
    length = max(len(values) for name, values in known.items() if tells_loss(name))
    found: list[dict[str, Any]] = [{} for _ in range(length)]
    for name, values in known.items():
        if len(values) > length or (plain(name) in (*STEPS, "epoch") and len(values) != length):
            continue
        for number, value in enumerate(values, start=1):
            found[round(number * length / len(values)) - 1][name] = value
    return list(found)


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and value and all(str(key).isdecimal() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    if not isinstance(value, list) or not value:
        return []
    return value if all(type(one) in (int, float, type(None)) for one in value) else []


def _of_curves(content: Mapping[str, Any]) -> list[Row]:
    """Return the rows of ``{"train": {"loss": {"x": [10, 20], "y": [2.5, 2.0]}}}``."""
    points = sorted(_points(content), key=lambda point: point.step)
    found = list(rows(points))
    return found if any((canonical(p.name) or "").endswith("loss") for p in points) else []


def _points(content: Mapping[str, Any]) -> Iterator[Point]:
    for title, curves in content.items():
        for name, curve in curves.items() if isinstance(curves, Mapping) else ():
            if not isinstance(curve, Mapping):
                continue
            x, y = curve.get("x"), curve.get("y")
            if isinstance(x, list) and isinstance(y, list):
                for at, value in zip(x, y, strict=False):
                    if (step := as_step(at)) is not None:
                        yield Point(f"{title}/{name}" if name != title else name, step, value)
