"""The formats of logs, in the order in which a file is held against them; loaded when met."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.sources import look
from sftdiag.sources.log import Log, Note
from sftdiag.sources.opening import Head
from sftdiag.sources.trainer_state import WHERE
from sftdiag.values import EMPTY

MAGIC_BYTES = 64
"""Bytes in which a format's mark must stand: TensorBoard's stands behind a length and a time."""


class Format(NamedTuple):
    """Where a format's reader is.

    Attributes:
        name: the format's name, of which a reader may tell kinds.
        module: the module in :mod:`sftdiag.sources`.
        kind: what its two functions' names end in.
        text: whether its files are text.
        several: whether a file may hold several runs, each given as ``PATH::RUN``.
        magic: bytes that every such file begins with, or soon has.
    """

    name: str
    module: str
    kind: str = ""
    text: bool = True
    several: bool = False
    magic: bytes = b""

    def recognises(self, head: Head) -> bool:
        """Return whether the file looks like this format; loads its reader only where it may."""
        if self.magic not in head.data[:MAGIC_BYTES]:
            return False
        return bool(self._function("recognises")(head))

    def recognises_folder(self, folder: str) -> bool:
        """Return whether the folder is a run of this format."""
        return bool(self._function("recognises")(folder))

    def read(self, head: Head, columns: Columns, spacing: int | None) -> Log:
        """Read the file."""
        log: Log = self._function("read")(head, columns, spacing)
        return log

    def read_folder(self, folder: str, columns: Columns, spacing: int | None) -> Log:
        """Read the folder."""
        log: Log = self._function("read")(folder, columns, spacing)
        return log

    def runs(self, path: str) -> list[str]:
        """Return the runs in a file of several."""
        runs: list[str] = self._function("runs")(path)
        return runs

    def _function(self, verb: str) -> Callable[..., Any]:
        module = import_module(f"sftdiag.sources.{self.module}")
        function: Callable[..., Any] = getattr(module, verb + self.kind)
        return function


FORMATS = (
    Format("wandb", "wandb_run", text=False, magic=b":W&B"),
    Format("swanlab", "swanlab", text=False, magic=b":SWL"),
    Format("tensorboard", "tensorboard", text=False, magic=b"brain.Event:"),
    Format("trackio", "databases", "_trackio", text=False, several=True, magic=b"SQLite format 3"),
    Format("mlflow", "databases", "_mlflow", text=False, several=True, magic=b"SQLite format 3"),
    Format("parquet", "parquet", text=False, several=True, magic=b"PAR1"),
    Format("clearml", "archives", "_clearml", text=False, magic=b"PK\x03\x04"),
    Format("comet", "archives", "_comet", text=False, magic=b"PK\x03\x04"),
    Format("clearml", "archives", "_clearml"),
    Format("comet", "archives", "_comet"),
    Format("notebook", "notebook"),
    Format("json-columns", "json_columns"),
    Format("json-list", "json_rows", "_list"),
    Format("jsonl", "json_rows", "_lines"),
    Format("csv", "csv_rows"),
    Format("console", "console"),
)
"""Those of files; what only few lines tell comes last."""

FOLDERS = (
    Format("callback", "kept_log"),
    Format("tensorboard", "folders", "_tensorboard"),
    Format("dvclive", "folders", "_dvclive"),
    Format("mlflow", "folders", "_mlruns"),
    Format("aim", "aim_repo"),
)
"""Those of which a folder is one run."""


def recognised(head: Head) -> Format | None:
    """Return the format of a file, or None."""
    is_text = bool(head.text)
    if head.text.startswith(look.FINDINGS) or look.no_curve(head):
        return None
    return next((f for f in FORMATS if (is_text or not f.text) and f.recognises(head)), None)


def of_folder(folder: str) -> Format | None:
    """Return the format of which a folder is one run, or None."""
    return next((f for f in FOLDERS if f.recognises_folder(folder)), None)


def runs_in(path: str) -> list[str]:
    """Return the runs in a file, each as the path that opens it."""
    head = Head(path)
    format = recognised(head)
    names = format.runs(path) if format is not None and format.several else []
    return [path] if len(names) < 2 else [f"{path}{MARK}{name}" for name in names]


MARK = "::"
"""Between a file of several runs and the run that is meant."""


def read(path: str, own: Mapping[str, str] = EMPTY, spacing: int | None = None) -> Log:
    """Read a file, or a folder that is one run, of any of the formats.

    Args:
        path: the file or folder; ``FILE::RUN`` for one of several runs in it.
        own: the user's choice of columns.
        spacing: steps between two rows, where the user says so.

    Raises:
        SourceError: it is none of them, or cannot be read: says what it looks like and what to do.
    """
    columns = Columns(own)
    if os.path.isdir(path):
        format = of_folder(path)
        if format is None:
            raise SourceError(path, f"no log in this folder; {WHERE}")
        return _with_rows(path, format, format.read_folder(path, columns, spacing), None)
    file, _, run = (path, "", "") if os.path.exists(path) else path.rpartition(MARK)
    head = Head(file, run)
    format = recognised(head)
    if format is None and own and head.text:
        # The user's own columns are no known names, which a format is recognised by.
        form, names = look.numbers(head)
        if not set(own.values()).isdisjoint(names):
            format = next(f for f in FORMATS if f.name == form)
    if format is None:
        raise SourceError(path, look.problem(head))
    return _with_rows(path, format, format.read(head, columns, spacing), head)


def _with_rows(path: str, format: Format, log: Log, head: Head | None) -> Log:
    """Return the log, where a row of a training stands in it."""
    if next(iter(log.rows), None) is None:
        raise SourceError(path, look.no_row(format.name, head))
    if names := log.columns.perplexities:
        log.notes.append(Note("perplexities", {"columns": ", ".join(names)}))
    if (column := log.columns.means) is not None:
        log.notes.append(Note("means", {"column": column}))
    return log
