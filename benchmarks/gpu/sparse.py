"""Whether a run is judged alike at any logging_steps where each step is seen.

    python benchmarks/gpu/sparse.py              # all stored runs
    python benchmarks/gpu/sparse.py 20           # every twentieth

Each run of benchmarks/gpu/runs is judged by its log, by a log that keeps the mean of every tenth or
fiftieth row with the rows as steps beside it, and by that log alone. Printed is in how many runs
verdict, first finding and all findings with their onsets are those of the whole log.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sftdiag.context import RunContext
from sftdiag.monitor import Monitor
from sftdiag.sources import every_step
from sftdiag.sources.every_step import MEASURED, Step

RUNS = Path(__file__).parent / "runs"
EVERY = (10, 50)
FEWEST = 20
"""Train rows of a run that can be thinned out."""

Row = Mapping[str, Any]


def judged(rows: Sequence[Row], context: RunContext) -> tuple[str, str | None, list[Any]]:
    """Return the verdict, the first finding's code, and all findings with their onsets."""
    monitor = Monitor(context)
    for row in rows:
        monitor.feed_entry(row)
    report = monitor.report()
    found = [(f.code, f.name, f.severity.label, f.onset_step) for f in report.findings]
    return report.verdict, report.primary.code if report.primary else None, found


def thinned(log: Sequence[Row], every: int) -> tuple[list[Row], list[Step]]:
    """Return a log of means over so many rows, and the rows as steps."""
    sparse: list[Row] = []
    steps: list[Step] = []
    since: list[Row] = []
    for row in log:
        if "loss" not in row:
            sparse.append(row)
            continue
        names = ("grad_norm", "learning_rate", "epoch", *MEASURED)
        loss = row["loss"] if row["loss"] is not None else float("nan")
        steps.append(Step(row["step"], loss, **{name: row.get(name) for name in names}))
        since.append(row)
        if len(since) == every:
            sparse.append({**row, **_means(since)})
            since = []
    return sparse, every_step.unpacked(every_step.packed(steps))


def _means(rows: Sequence[Row]) -> dict[str, float]:
    means = {}
    for name in ("loss", *MEASURED):
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        if values:
            means[name] = sum(values) / len(values)
    return means


def compare(paths: Sequence[Path]) -> dict[int, Counter[str]]:
    """Return, for each distance of log rows, in how many runs what is as in the whole log."""
    counts: dict[int, Counter[str]] = {every: Counter() for every in EVERY}
    for path in paths:
        run = json.loads(lzma.decompress(path.read_bytes()))
        log, context = run["log"], RunContext.from_dict(run["context"])
        if sum("loss" in row for row in log) < FEWEST:
            continue
        whole = judged(log, context)
        for every, count in counts.items():
            sparse, steps = thinned(log, every)
            with_steps = judged(every_step.merged(sparse, steps), context)
            alone = judged(sparse, context)
            count["runs"] += 1
            for name, place in (("verdict", 0), ("first finding", 1), ("all findings", 2)):
                count[f"{name}, steps seen"] += with_steps[place] == whole[place]
                count[f"{name}, log alone"] += alone[place] == whole[place]
    return counts


def main(share: int = 1) -> int:
    """Print the table; return 1 where a run whose steps are seen is judged otherwise."""
    missed = 0
    print("| log rows every | runs | as the whole log | steps seen | log alone |")
    print("|---|---|---|---|---|")
    for every, count in compare(sorted(RUNS.glob("*.json.xz"))[::share]).items():
        for name in ("verdict", "first finding", "all findings"):
            seen, alone = count[f"{name}, steps seen"], count[f"{name}, log alone"]
            print(f"| {every} rows | {count['runs']} | {name} | {seen} | {alone} |")
            missed += seen < count["runs"]
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
