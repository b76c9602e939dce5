"""The command line; see the package."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.finetunes import matrix, work

OVERHEAD_TWINS = 12
"""Healthy runs that are also made without sftdiag, to compare their times."""


def tasks() -> list[work.Task]:
    """Return all runs: the faulty ones without sftdiag too, to the end; of the healthy some."""
    everything: list[work.Task] = []
    twins = 0
    for spec in matrix.matrix():
        everything.append((spec, True))
        if spec.fault != matrix.NONE:
            everything.append((spec, False))
        elif not spec.trap and twins < OVERHEAD_TWINS:
            twins += 1
            everything.append((spec, False))
    return everything


def main() -> int:
    """Do what is asked for."""
    began = time.time()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.finetunes")
    commands = parser.add_subparsers(dest="command", required=True)
    text = commands.add_parser("text", help="make the text from Debian packages")
    text.add_argument("--to", type=Path, required=True)
    run = commands.add_parser("run", help="do what is left of the matrix")
    run.add_argument("--text", type=Path, required=True)
    run.add_argument("--to", type=Path, required=True, help="folder of the results")
    run.add_argument("--base", type=Path, help="folder of the base; made where it is not there")
    run.add_argument("--minutes", type=float, default=9.0)
    run.add_argument("--workers", type=int, default=9)
    run.add_argument("--only", help="runs whose name begins so")
    run.add_argument("--tiny", action="store_true", help="for the CPU; proves nothing")
    chosen = parser.parse_args()
    if chosen.command == "text":
        from benchmarks.gpu.finetunes.text import write

        print(write(chosen.to))
        return 0
    from benchmarks.gpu.finetunes import base
    from benchmarks.gpu.finetunes.text import read

    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.base or Path(scratch) / "base"
        base.make(folder, read(chosen.text).passages, tiny=chosen.tiny)
        left = work.run(
            [task for task in tasks() if work.name(task).startswith(chosen.only or "")],
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
