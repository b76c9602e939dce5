"""CSV: our own, W&B's exports, Lightning's and litgpt's metrics.csv, Ray's progress.csv, others."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from sftdiag.columns import Columns, plain, tells_loss
from sftdiag.sources import long_rows
from sftdiag.sources.console import tables
from sftdiag.sources.json_rows import LIGHTNING, LITGPT, LOOKED_AT, log_of
from sftdiag.sources.log import Log, Note, Row
from sftdiag.sources.opening import Head, lines

DELIMITERS = ",;\t"

_TABLE = {"Training Loss", "Validation Loss"}
"""In the head of the table that the Trainer shows in a notebook, as it is pasted."""

EMPTY_CELLS = frozenset({"", "no log", "none", "null", "n/a", "-"})
"""What stands in a cell without a number."""

WIDEST = 100_000
"""Characters of a cell at the most: the csv module's limit is 131,072."""


def recognises(head: Head) -> bool:
    """Return whether the first line names a step or an epoch, and a metric."""
    names = header(head)
    return len(names) > 1 and (any(map(tells_loss, names)) or _long(head, names) is not None)


def _long(head: Head, names: list[str]) -> long_rows.Shape | None:
    """Return the shape of a long table with a loss in its first rows, or None."""
    of = long_rows.shape(names)
    if of is None or any(map(tells_loss, names)):
        return None
    first = head.first_lines(LOOKED_AT)
    place, mark = names.index(of.metric), delimiter(first[0])
    told = (cells(line, mark) for line in first[1:])
    return of if any(len(row) > place and tells_loss(row[place]) for row in told) else None


def header(head: Head) -> list[str]:
    """Return the column names in the first line; none where it is no line of a table."""
    first = next(iter(head.first_lines(1)), "")
    return cells(first, delimiter(first)) if len(first) < WIDEST else []


def delimiter(line: str) -> str:
    """Return what parts the line's cells."""
    return max(DELIMITERS, key=line.count)


def cells(line: str, mark: str) -> list[str]:
    """Return a line's cells; none where it is no line of a table."""
    try:
        return next(csv.reader([line.lstrip("\ufeff")], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        return []


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read a table; rows of one step that share no metric are one row."""
    names = header(head)
    mark = delimiter(next(iter(head.first_lines(1)), ""))
    if (of := _long(head, names)) is not None:

        def turned() -> Iterator[Row]:
            return long_rows.turned(_rows(head, names, mark), of)

        return log_of("csv", turned, columns, spacing)
    own = _of_trainer(names)
    columns.learn(own)
    keys = {plain(name) for name in names}
    format, notes, after = "csv", [], 0
    if {"iter", "iter_time"} <= keys:
        format, notes = LITGPT, [Note("micro_batches")]
    elif "epoch" in keys and "step" in keys and _is_lightning(keys):
        format, after = LIGHTNING, 1
        notes = [Note("from_zero")]
    elif any(" - " in name for name in names):
        runs = {name.rpartition(" - ")[0] for name in names if " - " in name}
        format = "wandb-csv"
        if len(runs) > 1:
            notes = [Note("several_runs", {"runs": len(runs)})]

    def raw() -> Iterator[Row]:
        rows = _rows(head, names, mark)
        if own != names:
            as_own = dict(zip(names, own, strict=True))
            rows = ({as_own[name]: cell for name, cell in row.items()} for row in rows)
        return _merged(rows, columns)

    return log_of(format, raw, columns, spacing, notes, after=after)


def _of_trainer(names: list[str]) -> list[str]:
    """Return the names of columns; those of the Trainer's own table name no split."""
    return tables.scored(names) if set(names) >= _TABLE else names


def _is_lightning(keys: set[str]) -> bool:
    """Lightning's table is sorted and has metrics by step and by epoch, or no rate of its own."""
    ours = {"learning_rate", "grad_norm", "lr"} & keys
    return any(key.endswith(("_step", "_epoch")) for key in keys) and not ours


def _rows(head: Head, names: list[str], mark: str) -> Iterator[Row]:
    text = lines(head.path, head.encoding)
    for number, line in enumerate(text):
        if not line.strip() or len(line) > WIDEST or (number == 0 and cells(line, mark) == names):
            continue
        row = cells(line, mark)
        if row == names:
            continue
        pairs = zip(names, row, strict=False)
        yield {name: cell for name, cell in pairs if cell.strip().lower() not in EMPTY_CELLS}


def _merged(rows: Iterable[Row], columns: Columns) -> Iterator[Row]:
    step = columns.step_column
    if step is None:
        yield from rows
        return
    waiting: dict[str, Any] | None = None
    for row in rows:
        if waiting is not None:
            shared = (row.keys() & waiting.keys()) - {step}
            alike = all(row[name] == waiting[name] for name in shared)
            own = any(columns.seen.get(name) == "train_runtime" for name in row)
            if row.get(step) == waiting.get(step) and alike and not own:
                waiting.update(row)
                continue
            yield waiting
        waiting = dict(row)
    if waiting is not None:
        yield waiting
