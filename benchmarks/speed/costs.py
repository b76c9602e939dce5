"""Which parts of judging a run cost the most, now and before they were made cheaper.

    python -m benchmarks.speed.costs                    # prints the five costliest, now and before
    python -m benchmarks.speed.costs --keep FILE.json   # keeps today's figures, to be the "before"

A detector's cost is what signals and it cost together less what signals cost alone; that of
reading, of records and of the report is taken by itself. CPU time, the least of some rounds. The
unit is a fixed loop of plain Python, timed between the rounds, so that figures of two machines, or
of one that others use too, can be held against each other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time_ns
from typing import Any

from benchmarks.speed.logs import RUN_RECORDS, make_rows, write_log
from sftdiag.context import RunContext
from sftdiag.monitor import Monitor
from sftdiag.records import LogRecord, parse_entry
from sftdiag.sources import open_run
from sftdiag.sources.journal import Segment

BEFORE = Path(__file__).with_name("costs_before.json")
"""Figures of fe69178, by this script."""

LONG, SHORTER = 2_000, 10
"""Records of the long run whose live record is measured; runs of a fleet's length beside it."""

ROUNDS = 5
SHOWN = 5


Log = Sequence[Mapping[str, Any]]
"""The rows of a log, as written."""


def _unit() -> None:
    """Do what a microsecond is held against: some thousand steps of plain Python."""
    total, kept = 0.0, {}
    for place in range(20_000):
        total += place * 0.5
        kept[place & 255] = total


def _least(action: Callable[[], object]) -> float:
    """Return an action's time in units, the least of some rounds of both in turn."""
    taken: list[int] = []
    units: list[int] = []
    for _ in range(ROUNDS):
        for one, found in ((_unit, units), (action, taken)):
            start = process_time_ns()
            one()
            found.append(process_time_ns() - start)
    return float(min(taken)) / min(units)


def _listening(names: set[str]) -> Monitor:
    """Return a monitor with the detectors of these names only."""
    monitor = Monitor()
    monitor._listen(tuple(d for d in monitor._detectors if d.name in names))
    return monitor


def _fed(logs: Sequence[Sequence[LogRecord]], names: set[str]) -> None:
    """Feed each log, record by record, as a live one is."""
    for records in logs:
        monitor = _listening(names)
        for record in records:
            monitor.feed(record)


def _replayed(logs: Sequence[Log], names: set[str]) -> None:
    """Judge each log as a file's is: rows that change nothing are taken in many at once."""
    for log in logs:
        _listening(names).replay(log, (Segment(0, RunContext()),))


def _parts(judged: Callable[[set[str]], None]) -> dict[str, float]:
    """Return what signals, each detector and all of them cost, in units."""
    names = [detector.name for detector in Monitor()._detectors]
    parts = {"signals": _least(partial(judged, set()))}
    for name in names:
        parts[name] = max(0.0, _least(partial(judged, {name})) - parts["signals"])
    parts["all"] = _least(partial(judged, set(names)))
    return parts


def of_records(log: Log) -> dict[str, float]:
    """Return what each part costs of a live record, in units."""
    records = [record for row in log for record in parse_entry(row)]
    parts = _parts(partial(_fed, [records]))
    parts["records"] = _least(lambda: [parse_entry(row) for row in log])
    parts["all"] += parts["records"]
    return {name: value / len(records) for name, value in parts.items()}


def of_runs() -> dict[str, float]:
    """Return what each part costs of a run of a fleet's length, in units."""
    logs = [make_rows(RUN_RECORDS, seed=seed) for seed in range(SHORTER)]
    parts = {name: value / SHORTER for name, value in _parts(partial(_replayed, logs)).items()}
    monitors = []
    for log in logs:
        monitor = Monitor()
        for row in log:
            monitor.feed_entry(row)
        monitors.append(monitor)
    with TemporaryDirectory() as folder:
        path = str(write_log(Path(folder, "trainer_state.json"), RUN_RECORDS))
        parts["reading"] = _least(lambda: [open_run(path) for _ in range(SHORTER)]) / SHORTER
    parts["report"] = _least(lambda: [monitor.report() for monitor in monitors]) / SHORTER
    parts["all"] += parts["reading"] + parts["report"]
    return parts


def measured() -> dict[str, dict[str, float]]:
    """Return the figures of today."""
    return {"a live record": of_records(make_rows(LONG)), "a run of a fleet": of_runs()}


def table(now: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the five costliest parts of each before, with what they cost then and now."""
    before = json.loads(BEFORE.read_text())
    lines = [
        "What cost the most of it, in shares of what all of it cost before; by",
        "`python -m benchmarks.speed.costs`.",
        "",
        "| of | part | before | now |",
        "|---|---|---|---|",
    ]
    for what, parts in before.items():
        whole = parts["all"]
        costly = sorted(parts, key=lambda name: -parts[name])[: SHOWN + 1]
        for name in costly:
            shares = f"{parts[name] / whole:.0%} | {now[what].get(name, 0.0) / whole:.0%}"
            lines.append(f"| {what} | {name} | {shares} |")
    return lines


def main() -> None:
    """Print the table, or keep today's figures."""
    parser = argparse.ArgumentParser(description="Measures which parts of judging cost the most.")
    parser.add_argument("--keep", type=Path, help="write today's figures there")
    kept = parser.parse_args().keep
    now = measured()
    if kept is not None:
        rounded = {what: {n: round(v, 6) for n, v in parts.items()} for what, parts in now.items()}
        kept.write_text(json.dumps(rounded, indent=1) + "\n")
        return
    print("\n".join(table(now)))


if __name__ == "__main__":
    main()
