"""Databases of trackers: trackio's and MLflow's, each with several runs; read, never written to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from math import nan
from pathlib import Path
from typing import Any

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import Head
from sftdiag.sources.series import Point, rows

MAGIC = b"SQLite format 3\0"

MOST_WORK, STEPS_A_LOOK = 10_000, 10_000
"""Instructions of SQLite's machine after which a query is given up, and those between two looks:
seconds in all, and a row takes some ten."""

_TRACKIO, _MLFLOW = {"metrics", "configs"}, {"metrics", "runs", "latest_metrics"}
"""Tables that tell whose database it is."""

_RUNS = {
    "trackio": "select run_id, max(run_name) from metrics group by run_id order by min(rowid)",
    "mlflow": "select run_uuid, name from runs order by start_time",
}


def recognises_trackio(head: Head) -> bool:
    """Return whether it is a database of trackio's."""
    return _tables(head) >= _TRACKIO and "runs" not in _tables(head)


def recognises_mlflow(head: Head) -> bool:
    """Return whether it is a database of MLflow's."""
    return _tables(head) >= _MLFLOW


def runs_trackio(path: str) -> list[str]:
    """Return the ids of the runs, oldest first."""
    return [run for run, _ in _query(path, _RUNS["trackio"])]


def runs_mlflow(path: str) -> list[str]:
    """Return the ids of the runs that logged something, oldest first."""
    logged = {run for (run,) in _query(path, "select distinct run_uuid from metrics")}
    return [run for run, _ in _query(path, _RUNS["mlflow"]) if run in logged]


def read_trackio(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read a run of trackio's: one JSON object a row, kept as bytes."""
    run = head.run or next(iter(runs_trackio(head.path)), "")

    def raw() -> Iterator[Row]:
        found = _query(
            head.path, "select step, metrics from metrics where run_id = ? order by rowid", run
        )
        for step, content in found:
            row = _object(content)
            if row:
                yield {**row, "_step": step}

    return log_of("trackio", raw, columns, spacing)


def read_mlflow(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read a run of MLflow's: a number a row, which is NaN where it says so."""
    run = head.run or next(iter(runs_mlflow(head.path)), "")

    def points() -> Iterator[Point]:
        found = _query(
            head.path,
            "select key, step, value, is_nan from metrics where run_uuid = ? "
            "order by timestamp, step, rowid",
            run,
        )
        for key, step, value, is_nan in found:
            yield Point(str(key), int(step or 0), nan if is_nan else value)

    return log_of("mlflow", lambda: rows(points()), columns, spacing)


def _object(content: Any) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _tables(head: Head) -> set[str]:
    if not head.data.startswith(MAGIC):
        return set()
    try:
        return {str(name) for (name,) in _query(head.path, _TABLES)}
    except SourceError:
        return set()


_TABLES = "select name from sqlite_master where type = 'table'"


def _query(path: str, sql: str, *values: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query; a database that another process writes to stays untouched.

    Raises:
        SourceError: it is damaged, or not of the shape that is known.
    """
    try:
        yield from _rows_of(path, "mode=ro", sql, values)
    except sqlite3.OperationalError:
        # In a folder that cannot be written to, a journal that was left there cannot be read.
        try:
            yield from _rows_of(path, "mode=ro&immutable=1", sql, values)
        except sqlite3.Error as error:
            raise SourceError(path, f"looks like a tracker's database, but: {error}") from None
    except (sqlite3.Error, OverflowError, ValueError) as error:
        raise SourceError(path, f"looks like a tracker's database, but: {error}") from None


def _rows_of(path: str, how: str, sql: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
    where = Path(path).resolve().as_uri()
    with closing(sqlite3.connect(f"{where}?{how}", uri=True)) as base:
        # A damaged page may hold any bytes, and a view any amount of work.
        base.text_factory = lambda text: text.decode("utf-8", "replace")
        passed = iter(range(MOST_WORK))
        base.set_progress_handler(lambda: next(passed, None) is None, STEPS_A_LOOK)
        return base.execute(sql, values).fetchall()
