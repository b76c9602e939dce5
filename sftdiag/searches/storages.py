"""Storages: an Optuna storage opened of what the user names: a journal file, a URL, an object."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftdiag.errors import ConfigError

try:
    import optuna
    from optuna.storages.journal import (
        JournalFileBackend,
        JournalFileSymlinkLock,
        JournalStorage,
    )
except ImportError as error:
    raise ImportError("this needs Optuna: pip install 'sftdiag[search]'") from error

LOCKED = 60.0
"""Seconds to wait for another process's write to SQLite: after its own 5 s a result would be lost,
and its trial run again."""

OPENED, AGAIN = 6, 0.5
"""Tries to open a database that others may be making, and seconds between them."""

JOURNAL = "journal.log"
"""The storage beside the trials, where none is given."""


def opened(storage: Any, folder: str) -> Any:
    """Return an Optuna storage.

    Raises:
        ConfigError: the URL or the file cannot be opened.
    """
    if storage is not None and not isinstance(storage, (str, os.PathLike)):
        return storage
    if storage is not None and "://" in os.fspath(storage):
        try:
            return _database(os.fspath(storage))
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            told = f"the storage cannot be opened: {first}"
            raise ConfigError(told).keyed("search_storage", why=first) from None
    path = Path(storage) if storage is not None else Path(folder, JOURNAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _expect_journal(path)
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, ValueError) as error:
        told = f"{path}: no journal of Optuna: {error}"
        raise ConfigError(told).keyed("search_journal", path=path, why=error) from None


def _database(url: str) -> Any:
    """Return the storage of a URL; SQLite's waits as long as it takes others to write.

    Of processes that open a new database at once each makes its tables: all but one meet those of
    another, and find them whole when they look again
    (findings/optuna_new_sqlite_file_fails_all_but_one.sh).
    """
    from sqlalchemy.exc import DBAPIError

    patient = {"connect_args": {"timeout": LOCKED}} if url.startswith("sqlite:") else {}
    for left in reversed(range(OPENED)):
        try:
            known = optuna.storages.RDBStorage(url, engine_kwargs=patient)
            return optuna.storages.get_storage(known)
        except DBAPIError:
            if not left:
                raise
            time.sleep(AGAIN)
    raise AssertionError


def _expect_journal(path: Path) -> None:
    """Raise ValueError where a file holds something else: it would be written to."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        first = file.readline()
    # A first line that a kill left unfinished is Optuna's all the same.
    if first.endswith(b"\n") and "op_code" not in json.loads(first):
        raise ValueError("its first line is none")
    if first and not first.startswith(b"{"):
        raise ValueError("its first line is none")


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished: Optuna reads no journal beyond one."""
    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with open(path, "r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's notes on studies and trials from the terminal for a while."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
