"""What judging logs and fleets costs, beside every other tool that reads them.

    python -m benchmarks.speed.analyze --quick               # a minute: no million, no 10,000 runs
    python -m benchmarks.speed.analyze                       # prints the tables
    python -m benchmarks.speed.analyze --peers BIN --write   # with the other tools, and the page

The peers are installed apart: ``python -m venv P; P/bin/pip install losslint runmedic
finetune-doctor trainspotter trainproof``, and ``--peers P/bin``. Whole processes on one core, run
in turn (A B A B ...), so that a busy machine slows both alike; CPU time unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import costs
from benchmarks.speed.live import microseconds_a_record
from benchmarks.speed.logs import written
from benchmarks.speed.measuring import Ratio, Used, medians, must, ratio, used

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
OURS = (sys.executable, "-m", "sftdiag")
BARE = (sys.executable, "-c", "pass")
LOAD = (
    "import json, sys, time\n"
    "start = time.process_time()\n"
    "with open(sys.argv[1], encoding='utf-8') as file:\n    json.load(file)\n"
)
FLOOR = (sys.executable, "-c", "import argparse, json, typing")
"""What any command line that reads JSON has loaded before its own first line."""

PEERS = {
    "losslint": ("losslint", "check"),
    "runmedic": ("runmedic", "diagnose"),
    "finetune-doctor": ("finetune-doctor",),
    "trainspotter": ("trainspotter", "analyze"),
    "trainproof": ("trainproof", "doctor"),
}
"""Tool to its command for a log."""

LIMIT = 120.0
"""Seconds after which a tool is given up."""


class Line(NamedTuple):
    """A ratio, its interval and the most (or, with a minus, the least) that the project allows."""

    name: str
    found: Ratio
    limit: float | None

    @property
    def missed(self) -> bool:
        """Whether the limit is missed."""
        if self.limit is None:
            return False
        return self.found.middle > self.limit if self.limit > 0 else self.found.middle < -self.limit

    def __str__(self) -> str:
        middle, low, high = self.found
        limit = "-" if self.limit is None else f"{self.limit:g}"
        if self.limit is not None and self.limit < 0:
            limit = f"at least {-self.limit:g}"
        state = " (missed)" if self.missed else ""
        return f"| {self.name} | {middle:.2f} | {low:.2f} to {high:.2f} | {limit}{state} |"


def pairs(
    times: int, one: Sequence[str], other: Sequence[str], cores: int = 1
) -> list[tuple[Used, Used]]:
    """Return what two commands take, in turn."""
    return [(must(used(one, cores=cores), one), must(used(other), other)) for _ in range(times)]


def of_cpu(found: Sequence[tuple[Used, Used]]) -> Ratio:
    """Return the ratio of CPU time."""
    return ratio([a.cpu / b.cpu for a, b in found])


def of_wall(found: Sequence[tuple[Used, Used]]) -> Ratio:
    """Return the ratio of the time on the clock."""
    return ratio([a.wall / b.wall for a, b in found])


def of_start(small: Path, sick: Path, times: int) -> Iterator[Line]:
    """Yield what 1,000 records cost over what every Python program pays."""
    found = pairs(times, FLOOR, BARE)
    yield Line(
        "only importing argparse, json and typing / `python -c pass`, CPU", of_cpu(found), None
    )
    for path, form in ((small, "text"), (sick, "text"), (sick, "json")):
        command = (*OURS, "analyze", str(path), "--format", form)
        found = pairs(times, command, BARE)
        name = f"1,000 records, {'overfitting' if path is sick else 'healthy'}, {form}"
        limit = 4.0 if form == "text" else None
        yield Line(f"{name} / `python -c pass`, clock", of_wall(found), limit)
        yield Line(f"{name} / `python -c pass`, CPU", of_cpu(found), limit)


def of_load(path: Path, records: str, times: int, limit: float | None) -> Iterator[Line]:
    """Yield what a log costs over json.load of it: its time alone, and a process that loads it."""
    command, load = (*OURS, "analyze", str(path)), (sys.executable, "-c", LOAD, str(path))
    found = pairs(times, command, load)
    bare = medians([must(used(BARE), BARE) for _ in range(times)]).cpu
    alone = [a.cpu / max(1e-9, b.cpu - bare) for a, b in found]
    yield Line(f"{records} records, text / `json.load` of the file alone", ratio(alone), limit)
    yield Line(f"{records} records, text / a process that only loads it", of_cpu(found), None)
    peak = ratio([a.peak / b.peak for a, b in found])
    yield Line(f"{records} records, peak memory / a process that only loads it", peak, 1.3)


def of_fleet(root: Path, large: Path | None, times: int, rows: list[str]) -> Iterator[Line]:
    """Yield how a fleet's time grows with its runs and falls with processes and a cache.

    Adds what 10,000 runs take to the rows of the table of tools.
    """
    one = (*OURS, "fleet", "--jobs", "1", "--no-cache")
    if large is not None:
        found = pairs(1, (*one, str(large)), (*one, str(root)))
        yield Line(
            "10,000 runs / ten times 1,000 runs", ratio([a.cpu / b.cpu / 10 for a, b in found]), 1.1
        )
        rows.append(row("sftdiag fleet", "10,000 runs of 200 records", found[0][0]))
    look = large or root
    two = (*OURS, "fleet", "--jobs", "2", "--no-cache", str(look))
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2
    if cores > 1:
        found = [
            (must(used((*one, str(look)), cores=2), one), must(used(two, cores=2), two))
            for _ in range(max(1, times // 5))
        ]
        yield Line("fleet, one job / two jobs, clock", of_wall(found), -1.7)
    first, again = (*one, str(look)), (*OURS, "fleet", "--jobs", "1", str(look))
    must(used(again), again)
    found = pairs(max(1, times // 5), again, first)
    yield Line("fleet, second look with nothing changed / first look", of_cpu(found), 0.1)


def beside(
    peers: Path | None, logs: Sequence[tuple[str, Sequence[Path], int]]
) -> tuple[list[str], dict[tuple[str, str], Used | None]]:
    """Return the table of what every tool takes, and its numbers by tool and logs."""
    rows = ["| | logs | CPU s | clock s | peak MiB |", "|---|---|---|---|---|"]
    taken: dict[tuple[str, str], Used | None] = {}
    for name, paths, times in logs:
        tools: dict[str, tuple[str, ...]] = {"sftdiag": (*OURS, "analyze", "-q")}
        if peers is not None:
            tools |= {
                tool: (str(peers / command[0]), *command[1:]) for tool, command in PEERS.items()
            }
        if len(paths) > 1:
            tools["sftdiag fleet"] = (*OURS, "fleet", "--no-cache", "--jobs", "1")
        for tool, command in tools.items():
            found = [used((*command, *map(str, paths)), LIMIT) for _ in range(times)]
            good = [one for one in found if one is not None]
            taken[tool, name] = medians(good) if len(good) == len(found) else None
            rows.append(row(tool, name, taken[tool, name]))
    return rows, taken


def row(tool: str, logs: str, took: Used | None) -> str:
    """Return a row of the table of tools."""
    cells = f"{took.cpu:.2f} | {took.wall:.2f} | {took.peak:.0f}" if took else "- | - | -"
    return f"| {tool} | {logs} | {cells} |"


def against(taken: dict[tuple[str, str], Used | None], logs: str, ours: str) -> Iterator[Line]:
    """Yield our time over those of the two fastest peers."""
    own = taken.get((ours, logs))
    for peer in ("losslint", "runmedic"):
        other = taken.get((peer, logs))
        if own is not None and other is not None:
            same = own.cpu / other.cpu
            yield Line(f"{logs}, {ours} / {peer}", Ratio(same, same, same), 1.0)


def main() -> int:
    """Print the tables; return 1 when a limit of the project is missed."""
    parser = argparse.ArgumentParser(description="Times sftdiag analyze and fleet.")
    parser.add_argument("--write", action="store_true", help="write docs/speed.md too")
    parser.add_argument("--quick", action="store_true", help="only what takes a minute")
    parser.add_argument("--peers", type=Path, help="the folder of the other tools' commands")
    options = parser.parse_args()
    # Installed packages have their bytecode; so does this one, whatever the environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    times = 5 if options.quick else 15
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SFTDIAG_CACHE"] = f"{folder}/cache"
        small, sick, large = (Path(folder, f"{name}.json") for name in ("small", "sick", "large"))
        written("log", small, 1_000)
        written("sick", sick, 1_000)
        written("log", large, 100_000)
        must(used((*OURS, "analyze", str(sick))), OURS)
        lines = [*of_start(small, sick, 2 * times), *of_load(large, "100,000", times // 2, 3.0)]
        logs: list[tuple[str, Sequence[Path], int]] = [
            ("1,000 records", [small], 5),
            ("100,000 records", [large], 1 if options.quick else 3),
        ]
        written("fleet", Path(folder, "runs"), 1_000)
        fleet = sorted(Path(folder, "runs").rglob("*.json"))
        logs.append(("1,000 runs of 200 records", fleet, 1 if options.quick else 3))
        many = None
        if not options.quick:
            million = Path(folder, "million.json")
            written("log", million, 1_000_000)
            lines += of_load(million, "1,000,000", 3, None)
            logs.append(("1,000,000 records", [million], 1))
            many = Path(folder, "many")
            written("fleet", many, 10_000)
        rows, taken = beside(options.peers, logs)
        lines += against(taken, "100,000 records", "sftdiag")
        lines += against(taken, "1,000 runs of 200 records", "sftdiag fleet")
        lines += of_fleet(Path(folder, "runs"), many, times, rows)
        lines.append(Line("a live record, microseconds", microseconds_a_record(), 15.0))
    head = ["| | median | 95 % interval | at most |", "|---|---|---|---|"]
    tables = [*head, *map(str, lines), "", *rows, "", *costs.table(costs.measured()), ""]
    page = "\n".join(["# Speed", "", *note(quick=options.quick), "", *tables, *compiled(), ""])
    print(page)
    if options.write:
        DOCS.write_text(page)
    return int(any(line.missed for line in lines))


def compiled() -> list[str]:
    """Return what compiling the core was found to give, by the kept figures."""
    kept = json.loads(Path(__file__).with_name("compiled.json").read_text())
    gain = kept["pure"] / kept["compiled"]
    return [
        f"Compiled by {kept['by']}, `signals/` and `detectors/` took a record of a short run in",
        f"{kept['compiled']} us instead of {kept['pure']} ({gain:.1f} times as fast), SFT101 left",
        "out: a sum of floats is an int to it, which fails as it runs. That is not enough to be",
        "faster than losslint on a fleet, the build takes minutes, and what runs would not be what",
        "is read: it is not shipped.",
    ]


def note(*, quick: bool) -> list[str]:
    """Return what was measured, and where."""
    command = f"python -m benchmarks.speed.analyze {'--quick ' * quick}--peers BIN --write"
    load = f"{os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else "unknown"
    return [
        f"Printed by `{command}`, Python {sys.version.split()[0]}, one core of {os.cpu_count()}.",
        "CPU time of whole processes unless it says clock; ratios of runs in turn. The machine's",
        f"load was {load}: above its cores others compete, and every time is longer. A tool",
        f"without numbers failed or took more than {LIMIT:.0f} s.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
