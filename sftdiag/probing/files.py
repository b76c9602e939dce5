"""The files of ``sftdiag probe``: prompts, and general texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from sftdiag.errors import SourceError
from sftdiag.probes.settings import PROMPT, is_prompt, kind_of
from sftdiag.sources.rows import Rows

_ROWS = re.compile(rb'(\xef\xbb\xbf)?\s*\[?\s*\{\s*["}]|PAR1|\x1f\x8b')
"""How JSON lines, a JSON array, Parquet and what is gzipped begin; anything else is plain text."""


def read_prompts(path: str) -> list[Any]:
    """Return the prompts of a file: rows as ``sftdiag inspect`` reads them, or a text's lines.

    Raises:
        SourceError: it cannot be read, holds nothing, or an entry is no prompt.
    """
    return _read(path, PROMPT, is_prompt)


def read_texts(path: str) -> list[str]:
    """Return the texts of a file: rows with ``text``, or a text's lines.

    Raises:
        SourceError: it cannot be read, holds nothing, or an entry is no text.
    """
    entries = _read(path, "a text or {'text': ...}", _is_text)
    return [entry if isinstance(entry, str) else entry["text"] for entry in entries]


def _read(path: str, expected: str, fits: Callable[[Any], bool]) -> list[Any]:
    if not os.path.isfile(path):
        raise SourceError(path, "no such file; expected text or JSON lines")
    try:
        with open(path, "rb") as file:
            content = file.read()
        is_text = _ROWS.match(content) is None
        lines = content.decode("utf-8-sig").splitlines() if is_text else []
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(path, f"cannot be read: {error}") from None
    entries: list[Any] = [line.strip() for line in lines if line.strip()]
    if not is_text:
        entries = list(Rows(path))
    if not entries:
        raise SourceError(path, f"is empty; expected {expected} a line")
    for number, entry in enumerate(entries, start=1):
        if not fits(entry):
            raise SourceError(path, f"entry {number}: expected {expected}; got {kind_of(entry)}")
    return entries


def _is_text(entry: Any) -> bool:
    text = entry.get("text") if isinstance(entry, dict) else entry
    return isinstance(text, str) and bool(text.strip())
