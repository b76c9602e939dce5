"""Whether a change left every report as it was: one hash a set of logs, to compare by eye.

    python -m benchmarks.identical                 # prints the hashes, two minutes
    python -m benchmarks.identical --healthy 500   # fewer generated runs

Run it before and after a change that must not change behaviour. Hashed are the JSON reports of the
labelled logs, the generated ones and the stored GPU runs, and the text reports in both languages of
the labelled ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from benchmarks.accuracy import sets
from benchmarks.accuracy.ladders import power
from benchmarks.accuracy.runs import Run
from benchmarks.gpu.finetunes import replay, results
from sftdiag.api import make_settings
from sftdiag.findings import Report
from sftdiag.monitor import Monitor
from sftdiag.report.text import render

STORED = Path(__file__).resolve().parent / "gpu" / "runs"


def as_json(report: Report) -> str:
    """Return the report as ``--format json`` prints it."""
    return json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False)


def said(run: Run) -> str:
    """Return the JSON report of a run."""
    return as_json(_replayed(run, "en"))


def said_whole(run: Run) -> str:
    """Return the JSON report of a run, and its text in both languages."""
    reports = [_replayed(run, lang) for lang in ("en", "zh")]
    return as_json(reports[0]) + "".join(render(report, detail="full") for report in reports)


def said_of_stored(run: results.Run) -> str:
    """Return the JSON report of a stored GPU run and where it is stopped."""
    judged = replay.of_run(run)
    return as_json(judged.report) + str(judged.stop)


def digest(say: Callable[[Any], str], runs: Iterable[Any]) -> tuple[int, str]:
    """Return how many runs there are and the hash of what is said of them, in their order."""
    with Pool() as pool:
        told = pool.map(say, list(runs), chunksize=20)
    return len(told), hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _replayed(run: Run, lang: str) -> Report:
    monitor = Monitor(run.context, make_settings(lang=lang), run.name)
    for row in run.rows:
        monitor.feed_entry(row)
    return monitor.report()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--healthy", type=int, default=10_000, help="generated healthy runs")
    parser.add_argument("--sick", type=int, default=10, help="generated sick runs a size")
    parser.add_argument("--rung", type=int, default=1, help="runs a rung of the ladders")
    options = parser.parse_args(arguments)
    for name, say, runs in (
        ("real", said_whole, sets.real()),
        ("gpu", said_whole, sets.gpu()),
        ("tiny", said_whole, sets.tiny()),
        ("peft", said, sets.peft()),
        ("overfitguard", said, (history.run for history in sets.overfitguard())),
        ("generated healthy", said, sets.generated_healthy(options.healthy)),
        ("generated sick", said, sets.generated_sick(options.sick)),
        ("ladders", said, (power.made(cell) for cell in power.cells(options.rung))),
        ("stored GPU runs", said_of_stored, results.load(STORED)),
    ):
        count, code = digest(say, runs)
        print(f"{name}: {count:,} runs, {code}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
