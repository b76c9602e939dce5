"""The cache: the lines of runs that have not changed since they were read.

One JSON file for all runs below the same roots and the same settings, in the user's cache folder.
It is written whole or not at all, and one that cannot be read, or was written by another version,
counts as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftdiag.config import Settings
from sftdiag.fleets.finding import Signature
from sftdiag.fleets.row import UNREADABLE, VERDICTS, Row
from sftdiag.values import encode
from sftdiag.version import __version__


def folder() -> str:
    """Return the folder of caches: $SFTDIAG_CACHE, or below the system's for this user."""
    if given := os.environ.get("SFTDIAG_CACHE"):
        return given
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(base, "sftdiag")


class Cache:
    """The kept lines of the runs below some roots, by absolute path.

    Args:
        roots: the folders that were given.
        settings: the choices that change what a line says.
    """

    def __init__(self, roots: Sequence[str], settings: Settings) -> None:
        of = [sorted(os.path.abspath(root) for root in roots), _choices(settings)]
        name = hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]
        self._path = os.path.join(folder(), f"fleet-{name}.json")
        self._made_by = [__version__, _code_time(), list(Row.fields)]
        self._kept = self._read()

    def get(self, run: str, files: Signature) -> Row | None:
        """Return the kept line of a run whose files are as they were, or None."""
        kept = self._kept.get(os.path.abspath(run))
        if kept is None:
            return None
        try:
            known, values = kept
            if [tuple(file) for file in known] != list(files):
                return None
            row = Row(*values)
            return row.replace(run=run) if row.verdict in VERDICTS else None
        except (TypeError, ValueError):
            return None

    def keep(self, rows: Iterable[tuple[Row, Signature]]) -> None:
        """Write the lines of a look; runs that are gone are forgotten, failures are not kept."""
        runs = {
            os.path.abspath(row.run): [files, [getattr(row, name) for name in Row.fields]]
            for row, files in rows
            if row.verdict != UNREADABLE
        }
        unfinished = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(unfinished, "w", encoding="utf-8") as file:
                json.dump({"made_by": self._made_by, "runs": runs}, file)
            os.replace(unfinished, self._path)
        except (OSError, ValueError):
            # A cache that cannot be kept costs the next look its time, nothing else.
            return

    def _read(self) -> Mapping[str, Any]:
        try:
            with open(self._path, encoding="utf-8") as file:
                content = json.load(file)
            if content["made_by"] != self._made_by or not isinstance(content["runs"], dict):
                return {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}
        runs: Mapping[str, Any] = content["runs"]
        return runs


def _choices(settings: Settings) -> list[Any]:
    lists = (sorted(settings.select), sorted(settings.ignore))
    return [*map(encode, lists), settings.lang, settings.train_on_prompt]


def _code_time() -> int:
    """Return when the newest file of this package was changed: a version is many of them."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    newest = 0
    for place, _, names in os.walk(root):
        for name in names:
            if name.endswith((".py", ".toml")):
                newest = max(newest, os.stat(os.path.join(place, name)).st_mtime_ns)
    return newest
