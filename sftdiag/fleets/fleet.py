"""Fleet: the lines of many runs, the severest first, and their groups by cause."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from sftdiag.api import Selectors, resolve_settings
from sftdiag.config import Settings
from sftdiag.errors import ConfigError
from sftdiag.fleets import engines
from sftdiag.fleets.cache import Cache
from sftdiag.fleets.finding import modified, runs_below, signature
from sftdiag.fleets.row import COLUMNS, UNREADABLE, Row
from sftdiag.fleets.since import since_seconds
from sftdiag.values import Value

ENGINES = {"local": engines.local, "ray": engines.on_ray}

WORTH_A_PROCESS = 64
"""Runs from which another process reads more than its start takes, where no number is given."""


class Group(Value):
    """Runs with the same cause, or, where none is known, the same finding."""

    runs: int
    cause: str | None
    cause_name: str | None
    code: str
    name: str


class Fleet(Value):
    """The lines of many runs.

    Attributes:
        rows: one a run, the severest first and of those the one that wasted the most.
        language: of the texts.
    """

    rows: tuple[Row, ...]
    language: str = "en"

    @classmethod
    def of(cls, rows: Iterable[Row], language: str) -> Fleet:
        """Return the fleet of some lines, in whatever order they came."""
        return cls(tuple(sorted(rows, key=lambda row: row.order)), language)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The runs with a primary finding by cause, the largest group first."""
        return tuple(group for group, _ in self.grouped())

    def grouped(self) -> list[tuple[Group, list[Row]]]:
        """Return the groups, each with its runs in the order of the rows."""
        alike: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            if row.code is not None and row.name is not None:
                key = (row.cause,) if row.cause is not None else (row.code, row.name)
                alike.setdefault(key, []).append(row)
        groups = [
            (Group(len(rows), r.cause, r.cause_name, r.code or "", r.name or ""), rows)
            for rows in alike.values()
            for r in rows[:1]
        ]
        return sorted(groups, key=lambda group: -group[0].runs)

    def count(self, verdict: str) -> int:
        """Return how many runs have this verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return strict-JSON values."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "groups": [group.to_dict() for group in self.groups],
        }

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame, a column a field."""
        pandas = import_module("pandas")
        columns = list(COLUMNS)
        return pandas.DataFrame(
            [[getattr(row, c) for c in columns] for row in self.rows], None, columns
        )

    def __str__(self) -> str:
        text: str = import_module("sftdiag.fleets.text").render(self)
        return text.rstrip("\n")

    def _repr_html_(self) -> str:
        html: str = import_module("sftdiag.fleets.html").fragment(self)
        return html


def fleet(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    jobs: int | None = None,
    engine: str = "local",
    since: str | float | None = None,
    cached: bool = True,
    select: Selectors = None,
    ignore: Selectors = None,
    lang: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Fleet:
    """Diagnose all runs below some folders.

    Args:
        paths: folders that are searched for runs however deep, runs' folders, or logs.
        jobs: processes that read; by the number of runs and processors where not given.
        engine: ``"local"``, or ``"ray"`` for tasks on a Ray cluster.
        since: only runs whose log was written since then: ``"7d"``, ``"12h"``, ``"2026-01-31"``, or
            seconds since 1970.
        cached: whether runs that have not changed since the last look are read from the cache.
        select: codes or names to report, as with :func:`sftdiag.analyze`.
        ignore: codes or names to leave out.
        lang: ``"en"`` or ``"zh"``.
        progress: called with the share of the runs that is done.

    Raises:
        SourceError: there is no run below the paths. A run that cannot be read has a line.
        ConfigError: an engine, a time, a code, name or language does not exist.
    """
    settings = resolve_settings(select=select, ignore=ignore, lang=lang)
    roots = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return look(
        [os.fspath(root) for root in roots], settings, jobs, engine, since, cached, progress
    )


def look(
    roots: Sequence[str],
    settings: Settings,
    jobs: int | None = None,
    engine: str = "local",
    since: str | float | None = None,
    cached: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Fleet:
    """Return the fleet below some folders; see :func:`fleet`."""
    if engine not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    earliest = since_seconds(since)
    files = {run: signature(run) for run in runs_below(roots)}
    files = {run: kept for run, kept in files.items() if modified(kept) >= earliest}
    cache = Cache(roots, settings) if cached else None
    known = {run: row for run in files if cache and (row := cache.get(run, files[run]))}
    left = [run for run in files if run not in known]
    rows = list(known.values())
    if left:
        for row in ENGINES[engine](left, settings, jobs or _processes(len(left))):
            rows.append(row.replace(modified=modified(files[row.run])))
            if progress is not None:
                progress(len(rows) / len(files))
    if cache is not None and left and not earliest:
        cache.keep((row, files[row.run]) for row in rows)
    return Fleet.of(rows, settings.lang)


def _processes(runs: int) -> int:
    return max(1, min(os.cpu_count() or 1, runs // WORTH_A_PROCESS))


def is_readable(row: Row) -> bool:
    """Return whether a run could be read."""
    return row.verdict != UNREADABLE
