"""The command line; see the package."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.finetunes import results, work
from benchmarks.gpu.finetunes.__main__ import DOCS, memory
from benchmarks.gpu.installed import versions
from benchmarks.gpu.variants import cases, report
from benchmarks.marked import put

PACKAGES = ("torch", "transformers", "trl", "peft", "liger_kernel", "bitsandbytes")


def make(chosen: argparse.Namespace) -> int:
    """Make the runs and write one file; return how many are left."""
    began = time.time()
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "2")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    only = chosen.only.split(",") if chosen.only else None
    wanted = [v for v in cases.VARIANTS if only is None or v.key in only]
    groups: list[work.Group] = [[task] for variant in wanted for task in cases.runs(variant)]
    with tempfile.TemporaryDirectory(dir=memory()) as scratch:
        made = Path(scratch) / "results"
        from benchmarks.gpu.variants.bench import bench

        left = work.run(
            groups,
            chosen.base,
            chosen.rows,
            made,
            Path(scratch),
            seconds=began + chosen.seconds - time.time(),
            workers=chosen.workers,
            tiny=chosen.tiny,
            make=bench,
        )
        found = [results.read(path) for path in sorted(made.glob(f"*{results.ENDING}"))]
    content = {"device": _device(), "versions": versions(PACKAGES), "runs": found}
    results.write(chosen.to, content)
    print(f"{left} runs are left, {time.time() - began:.0f} s")
    return 0


def _device() -> str:
    import torch

    return f"On {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "On the CPU"


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.variants")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs")
    run.add_argument("--rows", type=Path, required=True, help="the second base's conversations")
    run.add_argument("--base", type=Path, required=True)
    run.add_argument("--to", type=Path, required=True, help="a .json.xz file")
    run.add_argument("--seconds", type=float, default=180.0)
    run.add_argument("--workers", type=int, default=14)
    run.add_argument("--only", default="", help="these variants, separated by commas")
    run.add_argument("--tiny", action="store_true", help="two steps each; proves nothing")
    told = commands.add_parser("report", help="print the table of the stored runs")
    told.add_argument("--results", type=Path, default=report.STORED)
    told.add_argument("--write", action="store_true", help="keep them, and write docs/gpu.md")
    chosen = parser.parse_args()
    if chosen.command == "run":
        return make(chosen)
    text = "\n".join(report.section(chosen.results))
    print(text)
    if chosen.write:
        if chosen.results != report.STORED:
            report.STORED.write_bytes(chosen.results.read_bytes())
        put(DOCS / "gpu.md", report.MARK, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
