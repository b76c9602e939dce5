"""Aim's repositories: the numbers of one run, by the package aim, from the run's own files.

Aim's own queries go by an index that only its server (``aim up``) or ``aim storage reindex`` fills:
before that they know no run and no metric (3.29.1; findings/aim_queries_see_no_finished_run.sh). A
run's files hold all, also while it goes on. They are opened to read and not brought into another
shape, as aim does when it reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.records import as_float
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log
from sftdiag.sources.series import Point, rows

INSTALL = "looks like a run of Aim's; for it: pip install 'sftdiag[aim]' (Python up to 3.12)"

_RUNS = os.path.join("meta", "chunks")
_NUMBERS = os.path.join("seqs", "chunks")
"""Below the repository: a database a run of what it is, and one of what it logged."""

_CLOSED = {"loss", "train/loss", "train/runtime"}
"""Metrics of a run whose closing row stands in the context "train": its curve stands in none."""

_TYPES = ("float", "float64", "int")
"""Of a sequence of numbers, as Aim calls them."""


def runs(repository: str) -> list[str]:
    """Return the folders of the runs in a repository, oldest first."""
    below = os.path.join(repository, _RUNS)
    if not os.path.isdir(below):
        return []
    found = (os.path.join(below, name) for name in sorted(os.listdir(below)))
    return sorted((run for run in found if recognises(run)), key=_begun)


def recognises(folder: str) -> bool:
    """Return whether the folder is the one of a run in a repository."""
    run = os.path.abspath(folder)
    is_database = os.path.isfile(os.path.join(run, "CURRENT"))
    return is_database and os.path.dirname(run).endswith(_RUNS) and os.path.isdir(_numbers_of(run))


def read(folder: str, columns: Columns, spacing: int | None = None) -> Log:
    """Read the run's metrics: steps are those that were given, or count what was tracked.

    Raises:
        SourceError: the package aim is not installed, or cannot read the files.
    """
    points = _points(os.path.abspath(folder))
    if {point.name for point in points} >= _CLOSED:
        points = [point._replace(name=point.name.replace("train/", "train_")) for point in points]
    return log_of("aim", lambda: rows(points), columns, spacing)


def _points(run: str) -> list[Point]:
    try:
        from aim.storage.rockscontainer import RocksContainer
    except ImportError:
        raise SourceError(run, INSTALL) from None
    name = os.path.basename(run)

    def tree(path: str, *below: Any) -> Any:
        opened = RocksContainer(path, read_only=True, skip_read_optimization=True)
        return opened.tree().subtree(below)

    timed: list[tuple[int, float, Point]] = []
    try:
        known = tree(run, "meta", "chunks", name).collect()
        numbers = tree(_numbers_of(run), "seqs")
        for context, traces in known.get("traces", {}).items():
            split = _split(known.get("contexts", {}).get(context))
            for metric, facts in traces.items():
                if facts.get("dtype") in _TYPES:
                    series = numbers.subtree((*_where(facts, name), context, metric))
                    timed += _of_series(split + metric, series)
    except Exception as error:
        # Those of the database and of aim's decoding have no common type.
        raise SourceError(run, f"looks like a run of Aim's, but: {error}") from None
    return [point for *_, point in sorted(timed, key=lambda at: at[:2])]


def _where(facts: Mapping[str, Any], run: str) -> tuple[str, ...]:
    version = facts.get("version", 1)
    return ("chunks", run) if version == 1 else (f"v{version}", "chunks", run)


def _of_series(name: str, series: Any) -> Iterator[tuple[int, float, Point]]:
    """Yield step, time and number of each entry; the first version's keys are the steps."""
    kept = {kind: dict(series.array(kind).items()) for kind in ("val", "step", "time")}
    for key, value in kept["val"].items():
        step, number = kept["step"].get(key, key), as_float(value)
        if number is not None and isinstance(step, int):
            yield step, kept["time"].get(key) or 0.0, Point(name, step, number)


def _split(context: Any) -> str:
    """Return the split that a context names, as it stands before a metric's name."""
    subset = context.get("subset") if isinstance(context, Mapping) else None
    return f"{subset}/" if isinstance(subset, str) and subset else ""


def _numbers_of(run: str) -> str:
    base = os.path.dirname(os.path.dirname(os.path.dirname(run)))
    return os.path.join(base, _NUMBERS, os.path.basename(run))


def _begun(run: str) -> float:
    """Return when a run's files were made: RocksDB writes its name once."""
    try:
        return os.stat(os.path.join(run, "IDENTITY")).st_mtime
    except OSError:
        return 0.0
