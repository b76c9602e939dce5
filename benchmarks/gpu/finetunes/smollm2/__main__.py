"""The command line; see the package."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.finetunes import work
from benchmarks.gpu.finetunes.__main__ import memory
from benchmarks.gpu.finetunes.smollm2 import matrix

LONG = 150
"""Steps above which a run is begun early, so that none is left alone at the end."""


def groups() -> list[work.Group]:
    """Return all runs, each watched to its end: the long ones first, further seeds last."""
    specs = matrix.matrix()
    long = sorted((s for s in specs if s.steps > LONG), key=lambda spec: -spec.steps)
    rest = sorted((s for s in specs if s.steps <= LONG), key=lambda spec: max(1, spec.seed))
    return [[(spec, True)] for spec in [*long, *rest]]


def main() -> int:
    """Do what is asked for."""
    began = time.time()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.finetunes.smollm2")
    commands = parser.add_subparsers(dest="command", required=True)
    rows = commands.add_parser("rows", help="make the conversations from Debian packages")
    rows.add_argument("--to", type=Path, required=True, help="a folder")
    base = commands.add_parser("base", help="make the base of its GGUF")
    base.add_argument("--gguf", type=Path, required=True)
    base.add_argument("--to", type=Path, required=True, help="a folder")
    base.add_argument("--layers", type=int, help="of these only, for the CPU; proves nothing")
    run = commands.add_parser("run", help="do what is left of the matrix")
    run.add_argument("--rows", type=Path, required=True)
    run.add_argument("--base", type=Path, required=True)
    run.add_argument("--to", type=Path, required=True, help="folder of the results")
    run.add_argument("--minutes", type=float, default=9.0)
    run.add_argument("--workers", type=int, default=14)
    run.add_argument("--only", default="", help="runs whose name begins so")
    run.add_argument("--tiny", action="store_true", help="four steps each; proves nothing")
    known = commands.add_parser("known", help="let the checks look at the stored runs' rows again")
    known.add_argument("--rows", type=Path, required=True)
    known.add_argument("--base", type=Path, required=True)
    known.add_argument("--runs", type=Path, required=True)
    known.add_argument("--only", default="", help="runs whose name begins so")
    chosen = parser.parse_args()
    if chosen.command == "rows":
        from benchmarks.gpu.finetunes.smollm2.sources import write

        print(write(chosen.to))
        return 0
    if chosen.command == "base":
        from benchmarks.gpu.finetunes.smollm2.base import make

        make(chosen.gguf, chosen.to, chosen.layers)
        return 0
    from benchmarks.gpu.finetunes.smollm2 import bench

    if chosen.command == "known":
        from benchmarks.gpu.finetunes.smollm2.known import again

        print(f"{again(chosen.runs, chosen.rows, chosen.base, chosen.only)} runs were written")
        return 0
    with tempfile.TemporaryDirectory(dir=memory()) as scratch:
        left = work.run(
            work.begin_with(groups(), chosen.only),
            chosen.base,
            chosen.rows,
            chosen.to,
            Path(scratch),
            seconds=began + 60 * chosen.minutes - time.time(),
            workers=chosen.workers,
            tiny=chosen.tiny,
            make=bench.bench,
        )
    print(f"{left} runs are left")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
