"""log.jsonl: the rows of a run's log as the callback saw them, for runs that save no checkpoint.

One row a line, as in ``log_history``. A resumed run appends; a run that begins anew begins the file
anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sftdiag.columns import Columns
from sftdiag.sources import appending
from sftdiag.sources.json_rows import log_of, parsed
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import lines
from sftdiag.values import encode

LOG_FILE = ("_sftdiag", "log.jsonl")
"""Where the callback keeps it, below the run's folder."""

_BELOW = os.sep + os.path.join(*LOG_FILE)

_PLAIN = json.JSONEncoder(allow_nan=False).encode


def recognises(folder: str) -> bool:
    """Return whether the folder is that of a run whose rows a callback kept."""
    return os.path.isfile(os.path.join(folder, *LOG_FILE))


def read(folder: str, columns: Columns, spacing: int | None = None) -> Log:
    """Read the rows."""
    path = os.path.join(folder, *LOG_FILE)

    def raw() -> Iterator[Row]:
        return (row for line in lines(path) if (row := parsed(line)) is not None)

    log = log_of("callback", raw, columns, spacing)
    log.in_run_folder = True
    return log


def append(folder: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to the file in a run's folder.

    Raises:
        OSError: it cannot be written.
    """
    path = f"{folder}{_BELOW}"
    written = "".join(map(_line, rows)).encode()
    if not appending.append(path, written):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(written)


def _line(row: Mapping[str, Any]) -> str:
    try:
        # Most rows are numbers, which need no look at each.
        text = _PLAIN(row)
    except (TypeError, ValueError):
        text = json.dumps(encode(dict(row)), allow_nan=False, default=_number)
    return text + "\n"


def clear(folder: str) -> None:
    """Take away what an earlier run left in the folder.

    Raises:
        OSError: it cannot be taken away.
    """
    path = os.path.join(folder, *LOG_FILE)
    if os.path.isfile(path):
        os.remove(path)


def _number(value: object) -> str:
    """Return an array's or tensor's number as text, which is read like any other."""
    try:
        return str(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        return ""
