"""steps.bin: what every optimizer step was, beside a log that shows every tenth or five-hundredth.

A header, then one row a step, float32 and little-endian throughout:

- ``SFTDSTEP``, the version and the length of the names as two bytes each, the names of the columns
  separated by commas, and spaces up to a multiple of four bytes;
- the columns of :class:`Step`; -1 where one is not known.

Rows are appended, all of a log row at once, and never changed. A process that was killed may leave
a part of a row, which is passed over; a resume cuts off what it does again.
"""

from __future__ import annotations

import binascii
import os
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import floor, isnan, log10
from typing import Any, NamedTuple

from sftdiag.records import GUARD_PREFIX, MAX_STEPS, as_float, as_step
from sftdiag.signals.rows import Lines
from sftdiag.sources import appending

STEPS_FILE = ("_sftdiag", "steps.bin")
"""Where the callback keeps it, below the run's folder."""

_BELOW = os.sep + os.path.join(*STEPS_FILE)

MAGIC, VERSION = b"SFTDSTEP", 1

UNKNOWN = -1.0
"""What stands in a column that is not known; none can be negative but the loss, which is known."""

LAST_STEP = 2**24
"""Steps up to which a float32 counts; later ones are not kept."""

_HEAD = struct.Struct("<8sHH")
_DIGITS = 7
"""What a float32 holds: a rate of 2e-5 reads 2e-05, not 1.9999999494757503e-05."""

_LEAST = 1e-9
"""Numbers below it are none that a run has: 10 ** 22 is the largest power of 10 that a float is."""

_SCALES = {place: 10.0 ** (_DIGITS - 1 - place) for place in range(-10, _DIGITS)}

_SHOWN = f"%.{_DIGITS}g"

_WHOLE = 10.0**_DIGITS
"""Whole numbers below it, as counts of tokens are, have no more digits than that."""

MEASURED = ("entropy", "mean_token_accuracy")
"""What some trainers measure of each micro-batch beside its loss, and log the mean of."""

OF_A_SKIP = ("skipped", "level", "bound")
"""What a step that was skipped says beside its loss and gradient norm."""

Row = Mapping[str, Any]


class Step(NamedTuple):
    """One optimizer step.

    Attributes:
        step: steps done with it.
        loss: as the trainer would have logged it: summed over its micro-batches, averaged over the
            ranks; NaN where it was.
        grad_norm: before clipping.
        learning_rate: that it was made with.
        epoch: epochs done with it.
        seconds: since the step before it; None where something else came between.
        tokens: in its batches on one rank, padding included.
        skipped: why a guard kept it out of the weights, a value of
            :data:`sftdiag.records.SKIPS`, and what it did then; None where it was made.
        level: the usual loss then.
        bound: the rise above it that the run's own noise explains.
        entropy: the mean over its micro-batches, where the trainer measures it (TRL's do).
        mean_token_accuracy: likewise.
    """

    step: int
    loss: float
    grad_norm: float | None = None
    learning_rate: float | None = None
    epoch: float | None = None
    seconds: float | None = None
    tokens: float | None = None
    skipped: float | None = None
    level: float | None = None
    bound: float | None = None
    entropy: float | None = None
    mean_token_accuracy: float | None = None


_COLUMNS = Step._fields

WIDTH = len(_COLUMNS)
"""Numbers of a row."""

PLACES = {name: place for place, name in enumerate(_COLUMNS)}
"""Where in a row each stands."""

_IN_A_ROW = {"seconds": "step_seconds", "tokens": "step_tokens"}
"""What a column is called in a row of the log, where that is something else."""

_NAMES = tuple(_IN_A_ROW.get(name, name) for name in _COLUMNS)

_BEFORE, _BEHIND = slice(2, PLACES["skipped"]), slice(PLACES[MEASURED[0]], None)
"""The columns behind the loss in such a row: before what the log row says besides, and behind."""

_OF_A_ROW = [
    (PLACES[name], _NAMES[PLACES[name]]) for name in (*_COLUMNS[1:7], *MEASURED, "skipped")
]
"""The columns' places and names, in the order of such a row."""

_STEP = struct.Struct(f"<{len(_COLUMNS)}f")

OF_STEPS = frozenset({"loss", "grad_norm", "learning_rate", "epoch", "step"})
"""What a log row says of its last step or of the mean over its steps, and steps say themselves."""


def packed(steps: Iterable[tuple[Any, ...]]) -> bytes:
    """Return steps, or what a :class:`Step` is made of, as the file's rows."""
    return packed_columns([*zip(*steps, strict=True)])


def packed_columns(columns: Sequence[Sequence[Any] | None]) -> bytes:
    """Return the same, of their columns; None for one of which nothing is known."""
    if not columns or columns[0] is None:
        return b""
    steps = columns[0]
    count = sum(step <= LAST_STEP for step in steps)
    rows: array[float] = array("f", [UNKNOWN]) * (WIDTH * count)
    for place, column in enumerate(columns):
        if column is None:
            continue
        if count < len(column):
            pairs = zip(steps, column, strict=True)
            column = [value for step, value in pairs if step <= LAST_STEP]
        if None in column:
            if column.count(None) == len(column):
                continue
            column = tuple(UNKNOWN if value is None else value for value in column)
        # Numbers that are too large for a float32 become infinite.
        rows[place::WIDTH] = array("f", column)
    if sys.byteorder == "big":
        rows.byteswap()
    return rows.tobytes()


def numbers_of(rows: bytes) -> array[float]:
    """Return the numbers of the file's whole rows, :data:`WIDTH` of each."""
    numbers = array("f", rows)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def unpacked(rows: bytes, columns: Sequence[str] = _COLUMNS) -> list[Step]:
    """Return the whole rows among these bytes; a column that is not there is not known."""
    layout = struct.Struct(f"<{len(columns)}f")
    whole = len(rows) - len(rows) % layout.size
    # As :func:`~sftdiag.records.as_step` reads a step; a NaN is none.
    step = columns.index("step")
    found = [row for row in layout.iter_unpack(rows[:whole]) if 0.0 <= row[step] <= MAX_STEPS]
    if not found:
        return []
    read: list[Sequence[float]] = [*zip(*found, strict=True)]
    if columns != _COLUMNS:
        unknown = [UNKNOWN] * len(found)
        read = [read[columns.index(n)] if n in columns else unknown for n in _COLUMNS]
    numbers, losses, norms, *others = read
    known = ([None if norm == UNKNOWN else norm for norm in norms], *map(_known, others))
    return [*map(_as_step, zip(map(int, numbers), losses, *known, strict=True))]


_as_step: Callable[[tuple[Any, ...]], Step] = partial(tuple.__new__, Step)
"""A step of its values in order, as ``Step._make`` returns it, without a function of Python's."""


def columns_of(rows: bytes) -> tuple[list[int], dict[str, list[float]]] | None:
    """Return whole rows of the file as columns, those of :func:`unpacked` that are known.

    None where the rows do not all have the same, or one is no plain training step.
    """
    numbers = numbers_of(rows)
    count = len(numbers) // WIDTH
    steps = [int(step) for step in numbers[::WIDTH]]
    columns: dict[str, list[float]] = {}
    for place, name in _OF_A_ROW:
        column = numbers[place::WIDTH].tolist()
        unknown = column.count(UNKNOWN) if name != "loss" else 0
        if unknown == count:
            continue
        if unknown or name == "skipped":
            return None
        columns[name] = column if name in ("loss", "grad_norm") else _all_shown(column)
    # A NaN may stand for a 0, see :func:`_row`; infinite ones of both signs sum up to one, too.
    if isnan(sum(columns["loss"])):
        return None
    return steps, columns


def _known(column: Sequence[float]) -> Sequence[float | None]:
    """Return a column as it is shown, None where a number is not known."""
    if column.count(UNKNOWN) == len(column):
        return [None] * len(column)
    return [None if value == UNKNOWN else _shown(value) for value in column]


def _all_shown(column: list[float]) -> list[float]:
    """Return numbers as :func:`_shown` does, and sooner where all are of one size."""
    low, high = min(column), max(column)
    # Neither of the two shows a NaN between them.
    alike = low >= _LEAST and high < _WHOLE and not isnan(sum(column))
    if alike and (place := floor(log10(low))) == floor(log10(high)):
        scale = _SCALES[place]
        return [round(value * scale) / scale for value in column]
    return [*map(_shown, column)]


def _shown(value: float) -> float:
    """Return a number of the digits that a float32 holds."""
    size = abs(value)
    if value.is_integer() and size < _WHOLE:
        return value
    if _LEAST <= size < _WHOLE:
        # What the format below says, in a tenth of its time: both powers of 10 are exact.
        scale = _SCALES[floor(log10(size))]
        return round(value * scale) / scale
    return float(_SHOWN % value)


def header() -> bytes:
    """Return what a file begins with."""
    names = ",".join(_COLUMNS).encode()
    names += b" " * (-(_HEAD.size + len(names)) % 4)
    return _HEAD.pack(MAGIC, VERSION, len(names)) + names


_HEADER_SIZE = len(header())


def read(folder: str) -> list[Step]:
    """Return the steps kept in a run's folder; none when there is no file, or one of another kind.

    Where a step is there twice, or steps go back, what came last counts.
    """
    try:
        with open(os.path.join(folder, *STEPS_FILE), "rb") as file:
            content = file.read()
    except OSError:
        return []
    if len(content) < _HEAD.size:
        return []
    magic, version, length = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if magic != MAGIC or version != VERSION or len(body) < length:
        return []
    columns = body[:length].decode("ascii", "replace").rstrip().split(",")
    if "step" not in columns or "loss" not in columns:
        return []
    kept: dict[int, Step] = {}
    for step in unpacked(body[length:], columns):
        kept.pop(step.step, None)
        kept[step.step] = step
    return [kept[step] for step in sorted(kept)]


def write(folder: str, rows: bytes, *, afresh: bool = False) -> None:
    """Append rows to the file in a run's folder, or make it hold these alone.

    Raises:
        OSError: it cannot be written.
    """
    path = f"{folder}{_BELOW}"
    # A row of which the disk took a part only would shift all after it.
    if not afresh and appending.append(path, rows, before=_HEADER_SIZE, size=_STEP.size):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.new", "wb") as file:
        file.write(header() + rows)
    os.replace(f"{path}.new", path)


def encoded(steps: Iterable[Step]) -> str:
    """Return steps as text, for the words that ranks exchange."""
    return binascii.b2a_base64(packed(steps), newline=False).decode("ascii")


def decoded(text: str, columns: Sequence[str] = _COLUMNS) -> list[Step]:
    """Return the steps of :func:`encoded`, which has no header to name its columns."""
    return unpacked(binascii.a2b_base64(text), columns)


class Merger:
    """Puts steps in the place of the log rows that are their means, live and offline alike.

    Each step becomes a row as ``logging_steps=1`` would have logged it. What the log row says
    beside its loss, and is not known of each step, is of all of them, and each gets it; those
    before an evaluation, which no such row follows yet, get what the last one said.

    Args:
        log: the rows that came before.
    """

    def __init__(self, log: Sequence[Row] = ()) -> None:
        last = next((row for row in reversed(log) if "loss" in row), {})
        self._beside = beside(last)

    def kept(self, rows: bytes, row: Row) -> Lines | list[Row]:
        """Return what :meth:`rows` yields, of rows of the file: as columns, where they are alike.

        Args:
            rows: the steps since the last log row.
            row: the next row of the log.
        """
        if "loss" in row and (known := columns_of(rows) if rows else None) is not None:
            steps, columns = known
            if steps[-1] == row.get("step") and "learning_rate" in columns:
                self._beside = beside(row)
                return Lines(steps, columns, self._beside)
        return [*self.rows(unpacked(rows), row)]

    def rows(self, steps: Sequence[Step], row: Row | None) -> Iterator[Row]:
        """Yield the rows of steps and, unless they stand for it, the log row that follows them.

        Args:
            steps: those since the last log row.
            row: the next row of the log; None at its end.
        """
        trained = row is not None and "loss" in row
        if row is not None and trained:
            self._beside = beside(row)
            if steps and steps[-1].learning_rate is None and steps[-1].step == row.get("step"):
                # The log's is that of the row's last step, which did not tell its own.
                rate = as_float(row.get("learning_rate"))
                steps = [*steps[:-1], steps[-1]._replace(learning_rate=rate)]
        for step in steps:
            yield _row(step, self._beside)
        if row is not None and not (trained and steps and steps[-1].step == row.get("step")):
            yield row


def beside(row: Row) -> Row:
    """Return what a log row says that its steps do not say themselves."""
    return {name: value for name, value in row.items() if name not in OF_STEPS}


def _row(step: Step, beside: Mapping[str, Any]) -> Row:
    if step.skipped is not None:
        kept = ((name, getattr(step, name)) for name in ("loss", "grad_norm", *OF_A_SKIP))
        told = {f"{GUARD_PREFIX}{name}": value for name, value in kept if value is not None}
        return {"step": step.step, "epoch": step.epoch, **told}
    # A NaN whose gradient is exactly 0 is 0 / 0: a batch without a label, which trainers log as 0.
    loss = 0.0 if step.loss != step.loss and step.grad_norm == 0.0 else step.loss
    return {
        "step": step.step,
        "loss": loss,
        **_told(step, _BEFORE),
        **beside,
        **_told(step, _BEHIND),
    }


def _told(step: Sequence[Any], part: slice) -> Row:
    pairs = zip(_NAMES[part], step[part], strict=True)
    return {name: value for name, value in pairs if value is not None}


def merged(entries: Sequence[Row], steps: Sequence[Step], *, beyond: bool = True) -> list[Row]:
    """Return a log with its steps in the place of the rows that are their means.

    Args:
        entries: the log's rows.
        steps: in order.
        beyond: also those after the log's last row: of a run that was killed.
    """
    if not steps:
        return list(entries)
    merger, done = Merger(), 0
    whole: list[Row] = []
    for entry in entries:
        step, first = as_step(entry.get("step")), done
        while step is not None and done < len(steps) and steps[done].step <= step:
            done += 1
        whole += merger.rows(steps[first:done], entry)
    return whole + list(merger.rows(steps[done:], None)) if beyond else whole
