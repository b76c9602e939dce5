"""The formats of logs, in the order in which a file is held against them; loaded when met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.sources import look
from sftdiag.sources.log import Log
from sftdiag.sources.opening import Head
from sftdiag.values import EMPTY


class Format(NamedTuple):
    """Where a format's reader is.

    Attributes:
        name: the format's name, of which a reader may tell kinds.
        module: the module in :mod:`sftdiag.sources`.
        kind: what its two functions' names end in.
        text: whether its files are text.
    """

    name: str
    module: str
    kind: str = ""
    text: bool = True

    def recognises(self, head: Head) -> bool:
        """Return whether the file looks like this format."""
        return bool(self._function("recognises")(head))

    def read(self, head: Head, columns: Columns, spacing: int | None) -> Log:
        """Read the file."""
        log: Log = self._function("read")(head, columns, spacing)
        return log

    def _function(self, verb: str) -> Callable[..., Any]:
        module = import_module(f"sftdiag.sources.{self.module}")
        function: Callable[..., Any] = getattr(module, verb + self.kind)
        return function


FORMATS = (
    Format("notebook", "notebook"),
    Format("json-list", "json_rows", "_list"),
    Format("jsonl", "json_rows", "_lines"),
    Format("csv", "csv_rows"),
    Format("console", "console"),
)
"""Those of files; what only few lines tell comes last."""


def recognised(head: Head) -> Format | None:
    """Return the format of a file, or None."""
    is_text = bool(head.text)
    if head.text.startswith(look.FINDINGS):
        return None
    return next((f for f in FORMATS if f.text == is_text and f.recognises(head)), None)


def read(path: str, own: Mapping[str, str] = EMPTY, spacing: int | None = None) -> Log:
    """Read a file of any of the formats.

    Args:
        path: the file.
        own: the user's choice of columns.
        spacing: steps between two rows, where the user says so.

    Raises:
        SourceError: it is none of them, or cannot be read: says what it looks like and what to do.
    """
    head = Head(path)
    format = recognised(head)
    if format is None and own and head.text:
        # The user's own columns are no known names, so the table's header tells nothing.
        format = next(f for f in FORMATS if f.name == ("csv" if "{" not in head.text else "jsonl"))
    if format is None:
        raise SourceError(path, look.problem(head))
    log = format.read(head, Columns(own), spacing)
    if next(iter(log.rows), None) is None:
        raise SourceError(path, look.no_row(format.name))
    return log
