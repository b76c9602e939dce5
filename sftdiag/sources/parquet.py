"""Parquet: what trackio exports, the history that W&B keeps, tables of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftdiag.columns import Columns, plain, tells_loss
from sftdiag.errors import SourceError
from sftdiag.sources import long_rows
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import Head
from sftdiag.sources.rows import Rows

_RUNS = ("run_id", "run_name")
"""Columns by which trackio keeps several runs apart."""


def recognises(head: Head) -> bool:
    """Return whether one of the columns is a loss: data is kept in such files, too."""
    try:
        names = _names(head.path)
    except SourceError:
        return False
    return any(map(tells_loss, names)) or long_rows.shape(names) is not None


def runs(path: str) -> list[str]:
    """Return the runs in a file, in the order in which they begin."""
    column = next((name for name in _RUNS if name in _names(path)), None)
    return list(dict.fromkeys(str(row[column]) for row in Rows(path))) if column else []


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read the rows of the run that is asked for, or of the first.

    Raises:
        SourceError: it is damaged, or pyarrow is not installed.
    """
    names = _names(head.path)
    column = next((name for name in _RUNS if name in names), None)
    run = head.run
    if column is not None and not run:
        run = next((str(row[column]) for row in Rows(head.path)), "")

    def of_run() -> Iterator[Row]:
        for row in Rows(head.path):
            if column is None or str(row[column]) == run:
                yield {name: value for name, value in row.items() if plain(name) not in _RUNS}

    of = long_rows.shape(names) if not any(map(tells_loss, names)) else None

    def raw() -> Iterator[Row]:
        return long_rows.turned(of_run(), of) if of is not None else of_run()

    return log_of("parquet", raw, columns, spacing)


def _names(path: str) -> list[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SourceError(path, "needs pyarrow: pip install 'sftdiag[trainer]'") from None
    try:
        names: Any = parquet.read_schema(path).names
    except (OSError, pyarrow.ArrowException) as error:
        raise SourceError(path, f"expected Parquet: {str(error).splitlines()[0]}") from None
    return list(names)
