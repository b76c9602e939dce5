"""Folders that are one run: TensorBoard's event files, DVCLive's plots, MLflow's old mlruns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.records import as_float
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Note, Row
from sftdiag.sources.opening import lines
from sftdiag.sources.series import Point, rows

EVENTS = ".tfevents."
"""In the names of TensorBoard's event files."""

PLOTS = os.path.join("plots", "metrics")
"""Below DVCLive's folder: a table for each metric."""

MOST_FILES = 1000
"""Files of one run that are read."""

MOST_POINTS = 2_000_000
"""Numbers of one metric that are read."""


def recognises_tensorboard(folder: str) -> bool:
    """Return whether event files lie in the folder."""
    return bool(_event_files(folder))


def read_tensorboard(folder: str, columns: Columns, spacing: int | None = None) -> Log:
    """Read all scalars of the folder's event files, in the order of their writing."""
    from sftdiag.sources import tensorboard

    return tensorboard.read_files(_event_files(folder), columns, spacing)


def _event_files(folder: str) -> list[str]:
    names = sorted(name for name in _names(folder) if EVENTS in name)
    return [os.path.join(folder, name) for name in names[:MOST_FILES]]


def recognises_dvclive(folder: str) -> bool:
    """Return whether tables of metrics lie in the folder."""
    return os.path.isdir(os.path.join(folder, PLOTS))


def read_dvclive(folder: str, columns: Columns, spacing: int | None = None) -> Log:
    """Read the tables; its step counts log calls, so that the epochs tell the Trainer's."""
    base = os.path.join(folder, PLOTS)
    points = sorted(_of_tables(base), key=lambda point: point.step)
    # The Trainer's closing row is one call under train/, the curve has no split.
    closing = {p.name for p in points} >= {"loss", "train/loss", "train/runtime"}

    def raw() -> Iterator[Row]:
        for row in rows(points):
            own = {name: value for name, value in row.items() if name != "step"}
            if closing and "train/runtime" in own:
                yield {n.replace("train/", "train_"): value for n, value in own.items()}
            else:
                yield own if closing or "epoch" in own else row

    notes = [Note("log_calls")] if closing else []
    return log_of("dvclive", raw, columns, spacing, notes)


def _of_tables(base: str) -> Iterator[Point]:
    for path in islice(_files(base, ".tsv"), MOST_FILES):
        name = os.path.relpath(path, base).removesuffix(".tsv").replace(os.sep, "/")
        for line in islice(lines(path), MOST_POINTS):
            step, _, value = line.partition("\t")
            number = as_float(value.strip())
            if step.isdecimal() and number is not None:
                yield Point(name, int(step[:15]), number)


def recognises_mlruns(folder: str) -> bool:
    """Return whether it is a run's folder below MLflow's mlruns."""
    return os.path.isfile(os.path.join(folder, "meta.yaml")) and os.path.isdir(
        os.path.join(folder, "metrics")
    )


def read_mlruns(folder: str, columns: Columns, spacing: int | None = None) -> Log:
    """Read MLflow's files: a file a metric, its lines ``milliseconds value step``."""
    base = os.path.join(folder, "metrics")
    timed: list[tuple[int, int, Point]] = []
    for path in islice(_files(base), MOST_FILES):
        name = os.path.relpath(path, base).replace(os.sep, "/")
        for line in islice(lines(path), MOST_POINTS):
            parts = line.split()
            number = as_float(parts[1]) if len(parts) > 1 else None
            if number is not None and all(p.isdecimal() and len(p) < 16 for p in parts[::2]):
                step = int(parts[2]) if len(parts) > 2 else 0
                timed.append((int(parts[0]), step, Point(name, step, number)))
    timed.sort(key=lambda point: point[:2])
    return log_of("mlflow", lambda: rows(p for _, _, p in timed), columns, spacing)


def _files(base: str, ending: str = "") -> Iterator[str]:
    for folder, _, names in os.walk(base):
        yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith(ending))


def _names(folder: str) -> list[Any]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise SourceError(folder, f"cannot be read: {error.strerror}") from None
