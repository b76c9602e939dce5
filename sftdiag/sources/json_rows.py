"""JSON lines and JSON lists of rows: ms-swift, LLaMA-Factory, Ray, trackers' dumps, one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from sftdiag.columns import OWN_COUNT, Columns, tells_loss
from sftdiag.context import RunContext
from sftdiag.errors import SourceError
from sftdiag.sources import long_rows
from sftdiag.sources.console.dicts import is_row
from sftdiag.sources.decoding import or_none
from sftdiag.sources.log import Again, Log, Note, Row
from sftdiag.sources.numbering import numbered
from sftdiag.sources.opening import LONGEST_LINE, Head, lines, read_text
from sftdiag.sources.steps import SURVEYED_ROWS, Plan, Survey

MOST_LIST_BYTES = 200 << 20
"""A JSON list is parsed whole; a log of a million rows has this size."""

LOOKED_AT = 200
"""Lines of the beginning in which a row must be: Ray and trackers log settings first."""

SWIFT, LLAMAFACTORY, RAY = "global_step/max_steps", "current_steps", "training_iteration"
"""The column that tells each tool's file."""

TENSORBOARD = ("Wall time", "Step", "Value")
"""The columns of what TensorBoard exports of one curve, which it does not name."""

_FIRST = re.compile(r"\s*(?:\{|\[\s*\d)")

LIGHTNING, LITGPT = "lightning", "litgpt"
"""Formats of the tables that frameworks write; litgpt's lies in a folder of its own."""


def recognises_lines(head: Head) -> bool:
    """Return whether the lines are JSON objects, one of them a row of a training log."""
    rows = [parsed(line) for line in head.first_lines(LOOKED_AT)]
    if rows and rows[-1] is None:
        # Half a line, as a process that is killed or still writes leaves it.
        rows.pop()
    return None not in rows and (any(is_row(row) for row in rows if row) or _is_long(rows))


def recognises_list(head: Head) -> bool:
    """Return whether the file begins as a JSON list of objects, or of TensorBoard's numbers."""
    text = head.text.lstrip("\ufeff \t\r\n")
    return text.startswith("[") and _FIRST.match(text, 1) is not None


def read_lines(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read JSON lines; a line that is none, as a killed process leaves, is passed over."""

    def raw() -> Iterator[Row]:
        text = lines(head.path, head.encoding)
        found = (_flat(row) for line in text if (row := parsed(line)) is not None)
        return _turned(found)

    return log_of("jsonl", raw, columns, spacing)


def read_list(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read a JSON list of rows.

    Raises:
        SourceError: it is no JSON, or no list of objects with a row among them.
    """
    try:
        content = json.loads(read_text(head.path, MOST_LIST_BYTES).lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise SourceError(head.path, "looks like a JSON list that is cut off or damaged") from None
    rows = [row if isinstance(row, Mapping) else of_tensorboard(row) for row in content]
    found = list(_turned(iter([row for row in rows if row])))
    return log_of("json-list", lambda: iter(found), columns, spacing)


def of_tensorboard(row: Any) -> Row:
    """Return TensorBoard's ``[time, step, value]`` under the names that its CSV has."""
    if not isinstance(row, list) or len(row) != len(TENSORBOARD):
        return {}
    return dict(zip(TENSORBOARD, row, strict=True))


def _flat(row: Row) -> Row:
    """Return a row of ``{"name": "training_loss", "data": {"step": 1, "value": 2.5}}`` as one."""
    data = row.get("data")
    return {**row, **data} if isinstance(data, Mapping) and "name" in row else row


def _is_long(rows: Iterable[Row | None]) -> bool:
    """Return whether these are rows of a long table, one of them of a loss."""
    known = [_flat(row) for row in rows if row]
    of = long_rows.shape(known[0]) if known else None
    return of is not None and any(tells_loss(str(row.get(of.metric))) for row in known)


def _turned(rows: Iterator[Row]) -> Iterator[Row]:
    first = list(islice(rows, LOOKED_AT))
    whole = chain(first, rows)
    of = long_rows.shape(first[0]) if _is_long(first) else None
    return long_rows.turned(whole, of) if of is not None else whole


def parsed(line: str) -> Row | None:
    """Return a line's JSON object, or None; bare NaN and Infinity are numbers."""
    if len(line) >= LONGEST_LINE or not line.lstrip("\ufeff \t").startswith("{"):
        return None
    row = or_none(line.lstrip("\ufeff"))
    return row if isinstance(row, Mapping) else None


def log_of(
    format: str,
    raw: Any,
    columns: Columns,
    spacing: int | None = None,
    notes: Iterable[Note] = (),
    *,
    after: int = 0,
) -> Log:
    """Return the log of a tool's rows that ``raw()`` yields as often as it is called.

    Args:
        format: the format's name.
        raw: called for the rows as the tool wrote them.
        columns: reads the names.
        spacing: steps between two rows, where the user says so.
        notes: what is known of the format already.
        after: added to each step, for tools that count from 0.
    """
    survey = Survey()
    first = list(islice(filter(partial(is_row, own=columns.own), raw()), SURVEYED_ROWS))
    names = set[str]().union(*first)
    known = [columns.row(row) for row in first]
    if columns.take_as_curve(known):
        known = [columns.row(row) for row in first]
    for row in known:
        survey.add(row)
    plan = survey.plan(spacing) if survey.stepless == survey.rows else Plan()

    def rows() -> Iterator[Row]:
        found = (columns.row(row) for row in raw() if is_row(row, columns.own))
        return numbered(_carried(found, after), plan)

    told = list(notes)
    if LLAMAFACTORY in names and "grad_norm" not in names:
        format = "llama-factory"
        told.append(Note("nan_as_zero"))
    elif SWIFT in names:
        format = "ms-swift"
    elif RAY in names and "time_total_s" in names:
        format = "ray"
    if plan.source is not None:
        told.append(Note(plan.source, {"spacing": plan.spacing}))
    elif columns.step_column in OWN_COUNT:
        told.append(Note("own_count", {"column": columns.step_column}))
    folder = format in ("llama-factory", "ms-swift", LIGHTNING)
    framework = format if folder or format == LITGPT else None
    context = RunContext(max_steps=columns.max_steps, framework=framework)
    rows_again = Again(rows)
    return Log(
        format, rows_again, columns=columns, context=context, notes=told, in_run_folder=folder
    )


def _carried(rows: Iterable[Row], after: int) -> Iterator[Row]:
    """Yield rows whose step is no number without it: they belong to the step before."""
    last: int | None = None
    for row in rows:
        step = row.get("step")
        if isinstance(step, int):
            last = step + after
            yield {**row, "step": last} if after else row
        elif last is not None:
            yield {**row, "step": last}
        else:
            yield {name: value for name, value in row.items() if name != "step"}
