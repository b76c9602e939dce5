"""The command line; see the package."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.finetunes import matrix, work

DOCS = Path(__file__).resolve().parents[3] / "docs"

OVERHEAD_TWINS = 12
"""Healthy runs that are made with and without sftdiag, to compare their times."""

CHECKPOINTS = 16e9
"""Bytes of twenty runs with four checkpoints each, twice over."""


def groups() -> list[work.Group]:
    """Return all runs in groups that one worker makes one after another, the longest first.

    First those whose whole curve is seen: the faulty ones to their end without sftdiag, and the
    healthy ones watched; then the faulty ones watched. Some healthy ones are made both ways, in
    either order, to compare their times.
    """
    specs = sorted(matrix.matrix(), key=lambda spec: -spec.steps)
    healthy = [spec for spec in specs if spec.fault == matrix.NONE]
    faulty = [spec for spec in specs if spec.fault != matrix.NONE]
    twins = [spec for spec in matrix.healthy() if not spec.trap][:OVERHEAD_TWINS]
    both = [[(spec, i % 2 == 0), (spec, i % 2 == 1)] for i, spec in enumerate(twins)]
    return [
        *([(spec, False)] for spec in faulty),
        *([(spec, True)] for spec in healthy if spec not in twins),
        *([(spec, True)] for spec in faulty),
        *both,
    ]


def memory() -> Path | None:
    """Return a folder in memory, which takes the checkpoints faster than a disk, if it has room."""
    folder = Path("/dev/shm")
    roomy = folder.is_dir() and shutil.disk_usage(folder).free > CHECKPOINTS
    return folder if roomy else None


def tell(folder: Path, *, write: bool) -> int:
    """Print the scores of a folder's runs; return 1 where a miss has no reason."""
    from benchmarks.gpu.finetunes import bars, reasons
    from benchmarks.gpu.finetunes.report import Scores
    from benchmarks.gpu.finetunes.results import SECOND_BASE, load

    scores = Scores(load(folder))
    others = load(folder / SECOND_BASE)
    second = Scores(others, reasons.SECOND, bars.SECOND) if others else None
    print(scores.page(second))
    unexplained = [*scores.unexplained, *(second.unexplained if second else ())]
    for name in unexplained:
        print(f"reasons.py says not why this is missed: {name}", file=sys.stderr)
    if unexplained:
        return 1
    if write:
        scores.write(DOCS, second)
    return 0


def main() -> int:
    """Do what is asked for."""
    began = time.time()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.finetunes")
    commands = parser.add_subparsers(dest="command", required=True)
    text = commands.add_parser("text", help="make the text from Debian packages")
    text.add_argument("--to", type=Path, required=True, help="a folder")
    run = commands.add_parser("run", help="do what is left of the matrix")
    run.add_argument("--text", type=Path, required=True)
    run.add_argument("--to", type=Path, required=True, help="folder of the results")
    run.add_argument("--base", type=Path, help="folder of the base; made where it is not there")
    run.add_argument("--minutes", type=float, default=9.0)
    run.add_argument("--workers", type=int, default=9)
    run.add_argument("--only", help="runs whose name begins so")
    run.add_argument("--tiny", action="store_true", help="for the CPU; proves nothing")
    known = commands.add_parser("known", help="let the checks look at the stored runs' rows")
    known.add_argument("--text", type=Path, required=True)
    known.add_argument("--runs", type=Path, required=True)
    known.add_argument("--again", action="store_true", help="also where that is stored already")
    report = commands.add_parser("report", help="score the stored runs")
    report.add_argument("--runs", type=Path, required=True, help="folder of the results")
    report.add_argument("--write", action="store_true", help="write docs/gpu.md and its plots")
    chosen = parser.parse_args()
    if chosen.command == "report":
        return tell(chosen.runs, write=chosen.write)
    if chosen.command == "known":
        from benchmarks.gpu.finetunes.known import add

        print(f"{add(chosen.runs, chosen.text, again=chosen.again)} runs were written")
        return 0
    if chosen.command == "text":
        from benchmarks.gpu.finetunes.text import write

        print(write(chosen.to))
        return 0
    from benchmarks.gpu.finetunes import base

    with tempfile.TemporaryDirectory(dir=memory()) as scratch:
        folder = chosen.base or Path(scratch) / "base"
        base.make(folder, chosen.text, tiny=chosen.tiny)
        left = work.run(
            work.begin_with(groups(), chosen.only or ""),
            folder,
            chosen.text,
            chosen.to,
            Path(scratch),
            seconds=began + 60 * chosen.minutes - time.time(),
            workers=chosen.workers,
            tiny=chosen.tiny,
        )
    print(f"{left} runs are left")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
