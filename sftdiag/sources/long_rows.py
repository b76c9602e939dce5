"""Long tables: a number of one metric a row, as trackers' clients export their histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from sftdiag.columns import STEPS, plain
from sftdiag.records import as_float, as_step
from sftdiag.sources.series import Point, rows

_METRIC = (
    *("metricname", "metric.name", "metric_name", "metric", "tag", "key", "variable"),
    *("attribute_path", "attribute", "name"),
)
_VALUE = ("metricvalue", "metric.value", "metric_value", "value", "float_value")
_RUN = ("run_id", "run_uuid", "run.hash", "experimentkey", "run_name", "run.name", "run")
_SPLIT = ("metric.context.subset", "context.subset", "subset", "split")
_TIME = ("timestamp", "wall_time", "time")
"""What Comet, MLflow, Aim, Neptune and TensorBoard's readers call the columns, the surest first."""

MOST_POINTS = 2_000_000
"""Numbers that are read: they are sorted, so all are held."""


class Shape(NamedTuple):
    """Which columns hold a metric's name, its number, the step, and, where known, the rest."""

    metric: str
    value: str
    step: str
    run: str | None
    split: str | None
    time: str | None


def shape(names: Iterable[str]) -> Shape | None:
    """Return the shape of a long table of these columns, or None where it is another.

    Examples:
        >>> shape(["", "key", "value", "timestamp", "step"])
        Shape(metric='key', value='value', step='step', run=None, split=None, time='timestamp')
        >>> shape(["step", "loss", "key"])
    """
    known = {plain(name): name for name in names}

    def of(wanted: tuple[str, ...]) -> str | None:
        return next((known[name] for name in wanted if name in known), None)

    metric, value, step = of(_METRIC), of(_VALUE), of(STEPS)
    if metric is None or value is None or step is None:
        return None
    return Shape(metric, value, step, of(_RUN), of(_SPLIT), of(_TIME))


def turned(table: Iterable[Mapping[str, Any]], of: Shape) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the first run in a long table, in the order in which they were logged."""
    timed: list[tuple[float, int, Point]] = []
    run: Any = None
    for row in islice(table, MOST_POINTS):
        step, name = as_step(row.get(of.step)), row.get(of.metric)
        if step is None or not isinstance(name, str) or row.get(of.value) is None:
            continue
        if of.run is not None:
            run = row.get(of.run) if run is None else run
            if row.get(of.run) != run:
                continue
        split = row.get(of.split) if of.split else None
        name = f"{split}/{name}" if isinstance(split, str) and split else name
        time = as_float(row.get(of.time)) if of.time else None
        timed.append((time or 0.0, step, Point(name, step, row[of.value])))
    # Of some no time is known: their steps are all that orders them.
    known = all(time for time, _, _ in timed)
    timed.sort(key=lambda point: point[: 2 if known else 1] if known else (point[1],))
    yield from rows(point for _, _, point in timed)
