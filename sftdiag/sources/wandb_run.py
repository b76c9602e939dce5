"""W&B's offline run: ``wandb/offline-run-*/run-*.wandb``. W&B itself keeps no reader of it.

Rows are the history records; their step is the Trainer's own ``train/global_step`` where it stands
beside W&B's count of log calls. The final train_loss stands in the summary only and is no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftdiag.columns import Columns
from sftdiag.sources.decoding import or_none
from sftdiag.sources.framing import HEADER_BYTES, fields, records, text
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Note, Row
from sftdiag.sources.opening import Head

MAGIC = b":W&B"

BEHIND_SECONDS = 15
"""Seconds after which a running W&B writes what was logged (0.31.0)."""

_HISTORY, _EXIT = 2, 18
"""Fields of a record: a row; the end of the run."""

_ITEM, _KEY, _NESTED_KEY, _VALUE = 1, 1, 2, 16
"""Fields of a history record, and of its items."""


def recognises(head: Head) -> bool:
    """Return whether the file begins as W&B's do."""
    return head.data.startswith(MAGIC) and len(head.data) > HEADER_BYTES


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read the rows; say that some may be missing where the run has not ended."""

    def raw() -> Iterator[Row]:
        with open(head.path, "rb") as file:
            for record in records(file):
                for number, content in fields(record):
                    if number == _HISTORY and isinstance(content, bytes):
                        yield _row(content)

    notes = [] if _has_ended(head.path) else [Note("behind", {"seconds": BEHIND_SECONDS})]
    return log_of("wandb", raw, columns, spacing, notes)


def _row(history: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for number, item in fields(history):
        if number != _ITEM or not isinstance(item, bytes):
            continue
        names, value = [], None
        for part, content in fields(item):
            if part in (_KEY, _NESTED_KEY):
                names.append(text(content))
            elif part == _VALUE:
                value = _number(text(content))
        name = ".".join(filter(None, names))
        if name and value is not None:
            row[name] = value
    return row


def _number(content: str) -> float | int | None:
    value = or_none(content)
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _has_ended(path: str) -> bool:
    with open(path, "rb") as file:
        return any(number == _EXIT for record in records(file) for number, _ in fields(record))
