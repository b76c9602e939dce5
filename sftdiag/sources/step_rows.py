"""rows.jsonl: which training rows the steps behind a finding were made of. Numbers, never text.

One JSON object a line, appended: a :class:`~sftdiag.findings.StepRows`. Where a step of a rank is
there twice, the later line counts: it has the losses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from sftdiag.findings import StepRows

ROWS_FILE = ("_sftdiag", "rows.jsonl")
"""Where the callback keeps it, below the run's folder."""


def read(folder: str) -> list[StepRows]:
    """Return what is kept in a run's folder, by step and rank; nothing when there is no file."""
    try:
        with open(os.path.join(folder, *ROWS_FILE), encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return []
    kept = {(rows.step, rows.rank): rows for line in lines if (rows := _rows(line)) is not None}
    return [kept[key] for key in sorted(kept)]


def write(folder: str, rows: Iterable[StepRows], *, afresh: bool = False) -> None:
    """Append to the file in a run's folder, or make it hold these alone.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.join(folder, *ROWS_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if afresh else "a", encoding="utf-8") as file:
        file.writelines(json.dumps(each.to_dict(), allow_nan=False) + "\n" for each in rows)


def _rows(line: str) -> StepRows | None:
    try:
        return StepRows.from_dict(json.loads(line))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
