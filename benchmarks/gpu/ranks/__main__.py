"""The command line; see the package."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu.ranks import real_runs, report
from benchmarks.gpu.ranks.launch import ALONE, LIMIT, over, run, told

BACKENDS = ("ddp", "fsdp2", "zero2", "zero3")
DEVICES = tuple(real_runs.PLACES)
RESULTS = Path(__file__).parent / "results"


def order(
    backend: str, device: str, repetitions: int, only: list[str] | None, world: int = 2
) -> list[str]:
    """Return the cases of a backend: each once first, then again those that are repeated."""
    from benchmarks.gpu.ranks.cases import CASES

    if backend == ALONE:
        return ["unwatched:0", "healthy:0"]
    chosen = {
        name: case
        for name, case in CASES.items()
        if case.fits(backend, device, world) and (only is None or name in only)
    }
    first = [f"{name}:0" for name in chosen]
    often = [name for name, case in chosen.items() if case.often]
    return first + [f"{name}:{n}" for n in range(1, repetitions) for name in often]


def joined(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the results of several streams of one backend as one."""
    return {
        **results[0],
        "left": [name for result in results for name in result["left"]],
        "cases": {name: seen for result in results for name, seen in result["cases"].items()},
    }


def versions_of(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions with which the cases of a file were made, where it was made in parts."""
    found = dict(stored)
    for package, number in new.items():
        known = found.get(package, "").split(" and ") if package in found else []
        found[package] = " and ".join([*known, *([] if number in known else [number])])
    return found


def make(chosen: argparse.Namespace) -> int:
    """Make the runs and write a file a backend; return 1 where one did not go as it must."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + chosen.seconds

    def one(backend: str) -> int:
        world = chosen.world
        more = "" if world == 2 else f"-{world}"
        path = chosen.out / f"{backend}{more}.json"
        stored = json.loads(path.read_text()) if chosen.more and path.exists() else {}
        made = {n: seen for n, seen in stored.get("cases", {}).items() if "ended" not in seen}
        if chosen.again is not None:
            made = {n: seen for n, seen in made.items() if n.partition(":")[0] not in chosen.again}
        cases = order(backend, chosen.device, chosen.repetitions, chosen.cases, world)
        cases = [name for name in cases if name not in made]

        def stream(part: list[str]) -> dict[str, Any]:
            options = {"limit": chosen.limit, "deadline": deadline, "world": world}
            return run(backend, chosen.device, part, **options)

        parts = [cases[n :: chosen.streams] for n in range(chosen.streams)]
        with ThreadPoolExecutor(len(parts)) as pool:
            result = joined(list(pool.map(stream, parts)))
        wrong = report.problems(result)
        new = report.compact(result)
        versions = versions_of(stored.get("versions", {}), new["versions"])
        kept = {**new, "versions": versions, "cases": {**made, **new["cases"]}}
        text = json.dumps(kept, separators=(",", ":")).replace('"ranks":', '\n"ranks":')
        path.write_text(text + "\n")
        return told(backend, len(result["cases"]), len(cases), wrong)

    return over(chosen.backends, chosen.device, one)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="Several ranks of one run, over all backends.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("run", help="make the runs; one json file a backend")
    making.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    making.add_argument("--backends", nargs="+", choices=(ALONE, *BACKENDS))
    making.add_argument("--cases", nargs="+", help="some of them; all unless given")
    making.add_argument("--repetitions", type=int, default=5, help="of those that could hang")
    making.add_argument("--limit", type=int, default=LIMIT, help="seconds for a case")
    making.add_argument("--seconds", type=float, default=500.0, help="for all of it")
    making.add_argument("--streams", type=int, default=1, help="runs side by side")
    making.add_argument("--more", action="store_true", help="only what --out does not hold yet")
    making.add_argument("--again", nargs="+", help="with --more: these, though it holds them")
    making.add_argument("--world", type=int, default=2, help="ranks of a run")
    making.add_argument("--out", type=Path, default=RESULTS)
    real = commands.add_parser("real", help="the cases of a real model; one json file a backend")
    real.add_argument("--base", type=Path, required=True, help="made by benchmarks.search.runs")
    real.add_argument("--rows", type=Path, required=True, help="likewise")
    real.add_argument("--cost", action="store_true", help="measure what watching costs instead")
    real.add_argument("--device", choices=DEVICES, default="cuda")
    real.add_argument("--backends", nargs="+", choices=BACKENDS)
    real.add_argument("--cases", nargs="+", help="some of them; all unless given")
    real.add_argument("--limit", type=int, default=120, help="seconds for a case")
    real.add_argument("--seconds", type=float, default=200.0, help="for all of it")
    real.add_argument("--out", type=Path, default=report.REAL)
    telling = commands.add_parser("report", help="print docs/ranks.md from the results")
    telling.add_argument("--results", type=Path, default=RESULTS)
    telling.add_argument("--write", action="store_true", help="write docs/ranks.md")
    chosen = parser.parse_args()
    if chosen.command == "run":
        chosen.backends = chosen.backends or [ALONE, *BACKENDS]
        return make(chosen)
    if chosen.command == "real":
        chosen.backends = chosen.backends or (["ddp"] if chosen.cost else [*BACKENDS])
        return real_runs.make(chosen)
    page = report.page(report.load(chosen.results))
    if chosen.write:
        report.PAGE.write_text(page, encoding="utf-8")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
