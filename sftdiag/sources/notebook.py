"""Notebooks: what a saved .ipynb shows of a training, and Kaggle's log of one that was run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.sources.console import log_of as console_log
from sftdiag.sources.console import tables
from sftdiag.sources.json_rows import MOST_LIST_BYTES, log_of
from sftdiag.sources.log import Log
from sftdiag.sources.opening import Head, read_text


def recognises(head: Head) -> bool:
    """Return whether it is a notebook's JSON, or Kaggle's list of streams."""
    text = head.text.lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        return '"stream_name"' in text[:2000]
    return text.startswith("{") and '"cells"' in text and '"cell_type"' in text


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read the last training that the outputs show: a table before printed text.

    Raises:
        SourceError: it is no JSON.
    """
    try:
        content = json.loads(read_text(head.path, MOST_LIST_BYTES).lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise SourceError(head.path, "looks like a notebook that is cut off or damaged") from None
    if isinstance(content, list):
        printed = "".join(_text(part.get("data")) for part in content if isinstance(part, Mapping))
        return _named(console_log(lambda: _lines(printed), columns, spacing, []))
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    for output in _outputs(content):
        data = output.get("data")
        shown = data if isinstance(data, Mapping) else {}
        if found := list(tables.html(_text(shown.get("text/html")))):
            rows = found
        texts.append(_text(output.get("text")) or _text(shown.get("text/plain")))
    if rows:
        return log_of("notebook", lambda: iter(rows), columns, spacing)
    printed = "\n".join(texts)
    return _named(console_log(lambda: _lines(printed), columns, spacing, []))


def _named(log: Log) -> Log:
    log.format = "notebook"
    return log


def _lines(text: str) -> Iterator[str]:
    return iter(text.replace("\r", "\n").split("\n"))


def _outputs(content: Any) -> Iterator[Mapping[str, Any]]:
    cells = content.get("cells") if isinstance(content, Mapping) else None
    for cell in cells if isinstance(cells, list) else []:
        outputs = cell.get("outputs") if isinstance(cell, Mapping) else None
        for output in outputs if isinstance(outputs, list) else []:
            if isinstance(output, Mapping):
                yield output


def _text(value: object) -> str:
    """Return a notebook's text, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
