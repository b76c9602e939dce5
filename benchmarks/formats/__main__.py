"""``python -m benchmarks.formats [--write]``: the labelled public logs, read from every format."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sftdiag
from benchmarks.accuracy.sets import corpus
from benchmarks.formats import turned
from benchmarks.formats.page import ROOT, page
from sftdiag.findings import Report

SERIOUS = ("warning", "error")

FORMATS: dict[str, Callable[[Any, Path], Path]] = {
    "console of transformers 4": lambda s, f: turned.console(s, f / "4.log", strings=False),
    "console of transformers 5": lambda s, f: turned.console(s, f / "5.log", strings=True),
    "the same without bars": lambda s, f: turned.console(
        s, f / "nobars.log", strings=True, bars=False
    ),
    "JSON lines": lambda s, f: turned.jsonl(s, f / "log.jsonl"),
    "CSV": lambda s, f: turned.table(s, f / "log.csv"),
    "TensorBoard": lambda s, f: turned.tensorboard(s, f / "runs"),
}


class Read(NamedTuple):
    """One log in one format."""

    log: str
    format: str
    same: bool
    alarm: bool
    seen: str


def primary(report: Report) -> str | None:
    """Return the code of the primary finding, where it is no mere note."""
    found = report.primary
    return found.code if found is not None else None


def alarmed(report: Report) -> bool:
    """Return whether something is at warning or above, at any step of the run."""
    return report.worst in SERIOUS


def reads(formats: list[str], every: int = 1) -> Iterator[Read]:
    """Yield every log in every format, held against its trainer_state.json."""
    for path in sorted((corpus() / "real" / "runs").glob("*.json"))[::every]:
        state = json.loads(path.read_text())
        own = sftdiag.analyze(path)
        for name in formats:
            with tempfile.TemporaryDirectory() as folder:
                other = sftdiag.analyze(FORMATS[name](state, Path(folder)))
            same = primary(own) == primary(other)
            new = alarmed(other) and not alarmed(own)
            seen = f"{own.verdict} {primary(own)} -> {other.verdict} {primary(other)}"
            yield Read(path.stem, name, same, new, seen)


def main() -> int:
    """Print the share of logs with the same primary finding, a format a line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", action="append", choices=FORMATS, metavar="FORMAT")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth log only")
    parser.add_argument("--write", action="store_true", help="write docs/logs.md")
    options = parser.parse_args()
    formats = options.only or list(FORMATS)
    found = list(reads(formats, options.every))
    shares = []
    for name in formats:
        of = [read for read in found if read.format == name]
        same, alarms = sum(r.same for r in of), sum(r.alarm for r in of)
        share = f"{same} of {len(of)} ({same / len(of):.1%})"
        print(f"{name}: {share} the same primary, {alarms} new alarms")
        shares.append(f"| {name} | {share} | {alarms} |")
        for read in of:
            if not read.same or read.alarm:
                print(f"  {read.log}: {read.seen}{' NEW ALARM' if read.alarm else ''}")
    if options.write:
        (ROOT / "docs" / "logs.md").write_text(page(shares), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
