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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor, log10
from typing import Any, NamedTuple

from sftdiag.records import GUARD_PREFIX, MAX_STEPS, as_float, as_step
from sftdiag.sources import appending

STEPS_FILE = ("_sftdiag", "steps.bin")
"""Where the callback keeps it, below the run's folder."""

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
_STEP = struct.Struct(f"<{len(_COLUMNS)}f")

OF_STEPS = frozenset({"loss", "grad_norm", "learning_rate", "epoch", "step"})
"""What a log row says of its last step or of the mean over its steps, and steps say themselves."""


def packed(steps: Iterable[Step]) -> bytes:
    """Return steps as the file's rows."""
    known = [step for step in steps if step.step <= LAST_STEP]
    values = [UNKNOWN if value is None else value for step in known for value in step]
    layout = f"<{len(values)}f"
    try:
        return struct.pack(layout, *values)
    except OverflowError:
        return struct.pack(layout, *map(_single, values))


def _single(value: float) -> float:
    """Return a number that fits into a float32, infinite where it is too large for one."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return value


def unpacked(rows: bytes, columns: Sequence[str] = _COLUMNS) -> list[Step]:
    """Return the whole rows among these bytes; a column that is not there is not known."""
    layout = struct.Struct(f"<{len(columns)}f")
    whole = len(rows) - len(rows) % layout.size
    found = layout.iter_unpack(rows[:whole])
    if columns != _COLUMNS:
        places = [columns.index(name) if name in columns else None for name in _COLUMNS]
        found = (
            tuple(UNKNOWN if place is None else row[place] for place in places) for row in found
        )
    steps = []
    for number, loss, norm, *others in found:
        # As :func:`~sftdiag.records.as_step` reads it; a NaN is none.
        if 0.0 <= number <= MAX_STEPS:
            shown = [None if value == UNKNOWN else _shown(value) for value in others]
            steps.append(Step(int(number), loss, None if norm == UNKNOWN else norm, *shown))
    return steps


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


def write(folder: str, steps: Sequence[Step], *, afresh: bool = False) -> None:
    """Append steps to the file in a run's folder, or make it hold these alone.

    Raises:
        OSError: it cannot be written.
    """
    path, rows = os.path.join(folder, *STEPS_FILE), packed(steps)
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
        self._beside = _beside(last)

    def rows(self, steps: Sequence[Step], row: Row | None) -> Iterator[Row]:
        """Yield the rows of steps and, unless they stand for it, the log row that follows them.

        Args:
            steps: those since the last log row.
            row: the next row of the log; None at its end.
        """
        trained = row is not None and "loss" in row
        if row is not None and trained:
            self._beside = _beside(row)
            if steps and steps[-1].learning_rate is None and steps[-1].step == row.get("step"):
                # The log's is that of the row's last step, which did not tell its own.
                rate = as_float(row.get("learning_rate"))
                steps = [*steps[:-1], steps[-1]._replace(learning_rate=rate)]
        for step in steps:
            yield _row(step, self._beside)
        if row is not None and not (trained and steps and steps[-1].step == row.get("step")):
            yield row


def _beside(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in OF_STEPS}


def _row(step: Step, beside: Mapping[str, Any]) -> Row:
    number, loss, norm, rate, epoch, seconds, tokens, skipped, *_, entropy, accuracy = step
    row: dict[str, Any]
    if skipped is not None:
        kept = ((name, getattr(step, name)) for name in ("loss", "grad_norm", *OF_A_SKIP))
        row = {f"{GUARD_PREFIX}{name}": value for name, value in kept if value is not None}
        return {"step": number, "epoch": epoch, **row}
    # A NaN whose gradient is exactly 0 is 0 / 0: a batch without a label, which trainers log as 0.
    row = {"step": number, "loss": 0.0 if loss != loss and norm == 0.0 else loss}
    if norm is not None:
        row["grad_norm"] = norm
    if rate is not None:
        row["learning_rate"] = rate
    if epoch is not None:
        row["epoch"] = epoch
    if seconds is not None:
        row["step_seconds"] = seconds
    if tokens is not None:
        row["step_tokens"] = tokens
    row.update(beside)
    if entropy is not None:
        row["entropy"] = entropy
    if accuracy is not None:
        row["mean_token_accuracy"] = accuracy
    return row


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
