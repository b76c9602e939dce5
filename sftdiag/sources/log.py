"""Log: what a reader makes of a file: its rows under the Trainer's names, and what it hides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sftdiag.columns import Columns
from sftdiag.context import RunContext
from sftdiag.values import EMPTY, Value

Row = Mapping[str, Any]


class Note(Value):
    """What is to be known of how a log was read: a key of notes.toml and its numbers."""

    key: str
    values: Mapping[str, Any] = EMPTY


class Again:
    """Rows that are read from the file each time that they are asked for.

    Attributes:
        holds: what must stay as long as they may be read, such as a file of its own.
    """

    def __init__(self, read: Callable[[], Iterator[Row]]) -> None:
        self._read = read
        self.holds: object = None

    def __iter__(self) -> Iterator[Row]:
        # A generator of its own, so that the rows being read hold what they are read from.
        yield from self._read()


class Log:
    """A log as read.

    Attributes:
        format: the format's name in :data:`~sftdiag.sources.formats.FORMATS`.
        rows: the rows under the Trainer's names.
        context: what the log itself says of the run.
        notes: what the format hides and where the steps are from.
        columns: which of the tool's columns became which metric.
        in_run_folder: the file lies in the run's own folder, beside the model's files.
    """

    def __init__(
        self,
        format: str,
        rows: Iterable[Row],
        *,
        columns: Columns | None = None,
        context: RunContext | None = None,
        notes: Iterable[Note] = (),
        in_run_folder: bool = False,
    ) -> None:
        self.format = format
        self.rows = rows
        self.columns = columns or Columns()
        self.context = context or RunContext()
        self.notes = list(notes)
        self.in_run_folder = in_run_folder
