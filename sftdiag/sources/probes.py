"""probes.jsonl: what was measured on the model, beside its log; and where it belongs in the log.

One row a line in the form of the log's own rows: ``step``, ``epoch`` and ``probe/*`` numbers. The
row of the model before training also keeps its losses text by text under ``kept``, so that a
resumed run can go on comparing. No row holds text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence

from sftdiag.hints import Any
from sftdiag.sources.decoding import or_none

PROBES_FILE = ("_sftdiag", "probes.jsonl")
"""Where the callback keeps it, below the run's folder."""

Row = Mapping[str, Any]


def read(folder: str) -> list[Row]:
    """Return the rows kept in a run's folder, oldest first; none when there is no file."""
    try:
        with open(os.path.join(folder, *PROBES_FILE), encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return []
    return [row for line in lines if (row := _row(line)) is not None]


def write(folder: str, rows: Iterable[Row], *, afresh: bool = False) -> None:
    """Append rows to the file in a run's folder, or make it hold these alone.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.join(folder, *PROBES_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if afresh else "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def merged(entries: Sequence[Row], rows: Iterable[Row]) -> list[Row]:
    """Return a log with the probes' rows where the callback saw them: last of their step.

    A closing summary stays behind them. Rows past the log's last step belong to a part of the run
    that was given up.
    """
    last = max((step for entry in entries if (step := _step(entry)) is not None), default=0)
    waiting = sorted((row for row in rows if (_step(row) or 0) <= last), key=lambda r: r["step"])
    whole: list[Row] = []
    for entry in entries:
        step = _step(entry)
        while waiting and step is not None and _comes_first(waiting[0]["step"], step, entry):
            whole.append(waiting.pop(0))
        whole.append(entry)
    return whole + waiting


def _comes_first(probed: int, step: int, entry: Row) -> bool:
    closing = "train_runtime" in entry and "loss" not in entry
    return probed < step or (probed == step and closing)


def _step(entry: Row) -> int | None:
    step = entry.get("step")
    return step if isinstance(step, int) else None


def _row(line: str) -> Row | None:
    row = or_none(line)
    return row if isinstance(row, Mapping) and _step(row) is not None else None
