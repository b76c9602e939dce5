"""What judging logs and fleets costs, beside every other tool that reads them.

    python -m benchmarks.speed.analyze --quick               # a minute: no million, no 10,000 runs
    python -m benchmarks.speed.analyze                       # prints the tables
    python -m benchmarks.speed.analyze --compiled C --peers BIN --write   # all, and the page
    python -m benchmarks.speed.analyze --part logs --keep F.json ...      # some minutes of it

All takes a quarter of an hour. A part is added to what the file of ``--keep`` holds, and the tables
are those of all in it, so that the page can be made of parts: ``logs``, ``tools`` and ``fleet``.

The peers are installed apart: ``python -m venv P; P/bin/pip install losslint runmedic
finetune-doctor trainspotter trainproof``, and ``--peers P/bin``. So is the package with a compiled
core: ``python -m venv C; SFTDIAG_USE_MYPYC=1 C/bin/pip install .``, and ``--compiled C/bin``. Whole
processes on one core, run in turn (A B A B ...), so that a busy machine slows both alike; CPU time
unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import costs
from benchmarks.speed.logs import written
from benchmarks.speed.measuring import Ratio, Used, medians, must, ratio, used

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
ROOT = Path(__file__).resolve().parents[2]
BARE = ("-c", "pass")
LOAD = (
    "import json, sys, time\n"
    "start = time.process_time()\n"
    "with open(sys.argv[1], encoding='utf-8') as file:\n    json.load(file)\n"
)
FLOOR = ("-c", "import argparse, json, typing")
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


LIVE = (
    f"import sys; sys.path.append({str(ROOT)!r})\n"
    "from benchmarks.speed.live import microseconds_a_record\n"
    "print(microseconds_a_record())\n"
)
LIVE_TIMES = 9
"""Processes: of six with the same code one took a third more for each of its 20,000 records."""


PURE, COMPILED = "sftdiag", "sftdiag, compiled"
"""The kinds of builds: of these sources, and with a compiled core."""

PARTS = ("logs", "tools", "fleet")

SLOW = 10.0
"""Seconds from which a tool is measured once."""


class Ours(NamedTuple):
    """The package as one Python has it.

    Attributes:
        kind: ``"sftdiag"``, of these sources, or ``"sftdiag, compiled"``.
        python: the interpreter.
        environment: what it runs with.
    """

    kind: str
    python: str
    environment: Mapping[str, str]

    def used(self, *arguments: str, cores: int = 1) -> Used:
        """Return what its Python takes for something."""
        command = (self.python, *arguments)
        return must(used(command, cores=cores, environment=self.environment), command)

    def pairs(
        self, times: int, one: Sequence[str], other: Sequence[str]
    ) -> list[tuple[Used, Used]]:
        """Return what two runs of its Python take, in turn."""
        return [(self.used(*one), self.used(*other)) for _ in range(times)]

    def printed(self, program: str) -> str:
        """Return what a program says."""
        command = (self.python, "-c", program)
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    @property
    def live(self) -> Ratio:
        """Microseconds that a live record takes, in the median over processes."""
        return ratio([float(self.printed(LIVE)) for _ in range(LIVE_TIMES)])


ANALYZE = ("-m", "sftdiag", "analyze")
FLEET = ("-m", "sftdiag", "fleet", "--jobs", "1")


def compiled_in(folder: Path) -> Ours:
    """Return the compiled package of an environment, by the folder of its commands.

    Raises:
        SystemExit: its core is not compiled.
    """
    # Nothing is imported from the working folder, where the sources are.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ours = Ours(COMPILED, str(folder / "python"), environment | {"PYTHONSAFEPATH": "1"})
    where = ours.printed("import sftdiag.records; print(sftdiag.records.__file__)").strip()
    if where.endswith(".py"):
        raise SystemExit(f"{where} is not compiled")
    return ours


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

    @property
    def allowed(self) -> str:
        """The limit in words."""
        if self.limit is None:
            return "-"
        return f"{self.limit:g}" if self.limit > 0 else f"at least {-self.limit:g}"

    def __str__(self) -> str:
        found = f"{self.found[0]:.2f} ({self.found[1]:.2f} to {self.found[2]:.2f})"
        return f"{found}{' (missed)' * self.missed}"


class Part(NamedTuple):
    """What one part measured: lines by the kind of build, rows of the table of tools, the load."""

    lines: dict[str, list[Line]]
    rows: list[str]
    load: float
    costs: list[str]


def kept(path: Path | None) -> dict[str, Part]:
    """Return the parts that a file holds; none without one."""
    if path is None or not path.exists():
        return {}
    content = json.loads(path.read_text())
    return {
        name: Part(
            {
                kind: [Line(said, Ratio(*found), limit) for said, found, limit in lines]
                for kind, lines in of.items()
            },
            *rest,
        )
        for name, (of, *rest) in content.items()
    }


def table(parts: Sequence[Part]) -> list[str]:
    """Return the table of the ratios: of the package in Python, and compiled where it was."""
    compiled = {line.name: line for part in parts for line in part.lines.get(COMPILED, [])}
    lines = ["| | in Python, median (95 % interval) | compiled | at most |", "|---|---|---|---|"]
    for part in parts:
        for line in part.lines[PURE]:
            other = compiled.get(line.name, "-")
            lines.append(f"| {line.name} | {line} | {other} | {line.allowed} |")
    return lines


def of_cpu(found: Sequence[tuple[Used, Used]]) -> Ratio:
    """Return the ratio of CPU time."""
    return ratio([a.cpu / b.cpu for a, b in found])


def of_wall(found: Sequence[tuple[Used, Used]]) -> Ratio:
    """Return the ratio of the time on the clock."""
    return ratio([a.wall / b.wall for a, b in found])


def of_start(ours: Ours, small: Path, sick: Path, times: int) -> Iterator[Line]:
    """Yield what 1,000 records cost over what every Python program pays."""
    ours.used(*ANALYZE, str(sick))
    found = ours.pairs(times, FLOOR, BARE)
    yield Line(
        "only importing argparse, json and typing / `python -c pass`, CPU", of_cpu(found), None
    )
    for path, form in ((small, "text"), (sick, "text"), (sick, "json")):
        found = ours.pairs(times, (*ANALYZE, str(path), "--format", form), BARE)
        name = f"1,000 records, {'overfitting' if path is sick else 'healthy'}, {form}"
        limit = 4.0 if form == "text" else None
        yield Line(f"{name} / `python -c pass`, clock", of_wall(found), limit)
        yield Line(f"{name} / `python -c pass`, CPU", of_cpu(found), limit)


def of_load(
    ours: Ours, path: Path, records: str, times: int, limit: float | None
) -> Iterator[Line]:
    """Yield what a log costs over json.load of it: its time alone, and a process that loads it."""
    found = ours.pairs(times, (*ANALYZE, str(path)), ("-c", LOAD, str(path)))
    bare = medians([ours.used(*BARE) for _ in range(times)]).cpu
    alone = [a.cpu / max(1e-9, b.cpu - bare) for a, b in found]
    yield Line(f"{records} records, text / `json.load` of the file alone", ratio(alone), limit)
    yield Line(f"{records} records, text / a process that only loads it", of_cpu(found), None)
    peak = ratio([a.peak / b.peak for a, b in found])
    yield Line(f"{records} records, peak memory / a process that only loads it", peak, 1.3)


def of_fleet(ours: Ours, root: Path, large: Path | None, rows: list[str]) -> Iterator[Line]:
    """Yield how a fleet's time grows with its runs and falls with processes and a cache.

    Adds what 10,000 runs take to the rows of the table of tools.
    """
    one, look = (*FLEET, "--no-cache"), large or root
    first: list[Used] = []
    if large is not None:
        ratios = []
        # A machine's pace drifts over half a minute: fewer runs are measured before and behind.
        few = [ours.used(*one, str(root)) for _ in range(3)]
        for _ in range(2):
            first.append(ours.used(*one, str(large)))
            later = [ours.used(*one, str(root)) for _ in range(3)]
            ratios.append(first[-1].cpu / medians([*few, *later]).cpu / 10)
            few = later
        yield Line("10,000 runs / ten times 1,000 runs", ratio(ratios), 1.1)
        rows.append(row(f"{ours.kind} fleet", "10,000 runs of 200 records", medians(first)))
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2
    times = 1 if large else 3
    if cores > 1:
        two = (*ANALYZE[:2], "fleet", "--jobs", "2", "--no-cache", str(look))
        found = [
            (ours.used(*one, str(look), cores=2), ours.used(*two, cores=2)) for _ in range(times)
        ]
        yield Line("fleet, one job / two jobs, clock", of_wall(found), -1.7)
    first = first or [ours.used(*one, str(look)) for _ in range(times)]
    again = (*FLEET, str(look))
    ours.used(*again)
    seen = [ours.used(*again).cpu / medians(first).cpu for _ in range(3)]
    yield Line("fleet, second look with nothing changed / first look", ratio(seen), 0.1)


def beside(
    builds: Sequence[Ours], peers: Path | None, logs: Sequence[tuple[str, Sequence[Path], int]]
) -> tuple[list[str], dict[tuple[str, str], Used | None]]:
    """Return the table of what every tool takes, and its numbers by tool and logs."""
    rows: list[str] = []
    taken: dict[tuple[str, str], Used | None] = {}
    for name, paths, times in logs:
        tools: dict[str, tuple[str, ...]] = {}
        for ours in builds:
            tools[ours.kind] = (ours.python, *ANALYZE, "-q")
            if len(paths) > 1:
                tools[f"{ours.kind} fleet"] = (ours.python, *FLEET, "--no-cache")
        known = {f"{ours.kind}{end}": ours.environment for ours in builds for end in ("", " fleet")}
        if peers is not None:
            tools |= {
                tool: (str(peers / command[0]), *command[1:]) for tool, command in PEERS.items()
            }
        found: dict[str, list[Used | None]] = {tool: [] for tool in tools}
        for _ in range(times):
            # In turn: what slows the machine for a while slows all of them.
            for tool, command in tools.items():
                if all(one is not None and one.wall < SLOW for one in found[tool]):
                    told = (*command, *map(str, paths))
                    found[tool].append(used(told, LIMIT, environment=known.get(tool)))
        for tool, several in found.items():
            good = [one for one in several if one is not None]
            taken[tool, name] = medians(good) if len(good) == len(several) else None
            rows.append(row(tool, name, taken[tool, name]))
    return rows, taken


def row(tool: str, logs: str, took: Used | None) -> str:
    """Return a row of the table of tools."""
    cells = f"{took.cpu:.2f} | {took.wall:.2f} | {took.peak:.0f}" if took else "- | - | -"
    return f"| {tool} | {logs} | {cells} |"


def against(
    taken: dict[tuple[str, str], Used | None], logs: str, kind: str, command: str = ""
) -> Iterator[Line]:
    """Yield our time over those of the two fastest peers."""
    own = taken.get((kind + command, logs))
    for peer in ("losslint", "runmedic"):
        other = taken.get((peer, logs))
        if own is not None and other is not None:
            same = own.cpu / other.cpu
            yield Line(f"{logs}, sftdiag{command} / {peer}", Ratio(same, same, same), 1.0)


def measured(part: str, compiled: Path | None, peers: Path | None, *, quick: bool) -> Part:
    """Return what a part measures."""
    times = 5 if quick else 15
    rows: list[str] = []
    parts_of_judging: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SFTDIAG_CACHE"] = f"{folder}/cache"
        builds = [Ours(PURE, sys.executable, dict(os.environ))]
        if compiled is not None:
            builds.append(compiled_in(compiled.absolute()))
        lines: dict[str, list[Line]] = {ours.kind: [] for ours in builds}
        small, sick, large, million, runs, many = (
            Path(folder, name)
            for name in ("small.json", "sick.json", "large.json", "million.json", "runs", "many")
        )
        if part != "fleet":
            written("log", small, 1_000)
            written("log", large, 100_000)
            if not quick:
                written("log", million, 1_000_000)
        if part != "logs":
            written("fleet", runs, 1_000)
        if part == "logs":
            written("sick", sick, 1_000)
            for ours in builds:
                lines[ours.kind] += of_start(ours, small, sick, 2 * times)
                lines[ours.kind] += of_load(ours, large, "100,000", times // 2, 3.0)
                if not quick:
                    lines[ours.kind] += of_load(ours, million, "1,000,000", 3, None)
                lines[ours.kind].append(Line("a live record, microseconds", ours.live, 15.0))
            parts_of_judging = costs.table(costs.measured())
        elif part == "tools":
            logs: list[tuple[str, Sequence[Path], int]] = [
                ("1,000 records", [small], 5),
                ("100,000 records", [large], 1 if quick else 3),
                ("1,000 runs of 200 records", sorted(runs.rglob("*.json")), 1 if quick else 5),
            ]
            if not quick:
                logs.append(("1,000,000 records", [million], 1))
            rows, taken = beside(builds, peers, logs)
            for ours in builds:
                lines[ours.kind] += against(taken, "100,000 records", ours.kind)
                lines[ours.kind] += against(taken, logs[2][0], ours.kind, " fleet")
        else:
            if not quick:
                written("fleet", many, 10_000)
            for ours in builds:
                lines[ours.kind] += of_fleet(ours, runs, None if quick else many, rows)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Part(lines, rows, load, parts_of_judging)


def main() -> int:
    """Print the tables; return 1 when a limit of the project is missed."""
    parser = argparse.ArgumentParser(description="Times sftdiag analyze and fleet.")
    parser.add_argument("--write", action="store_true", help="write docs/speed.md too")
    parser.add_argument("--quick", action="store_true", help="only what takes a minute")
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this part only")
    parser.add_argument("--keep", type=Path, help="add the parts to this file; show all in it")
    parser.add_argument("--peers", type=Path, help="the folder of the other tools' commands")
    parser.add_argument("--compiled", type=Path, help="that of an environment with a compiled core")
    options = parser.parse_args()
    # Installed packages have their bytecode; so does this one, whatever the environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    known = kept(options.keep)
    for name in options.part or PARTS:
        known[name] = measured(name, options.compiled, options.peers, quick=options.quick)
        if options.keep:
            options.keep.write_text(json.dumps(known))
    parts = [known[name] for name in PARTS if name in known]
    rows = ["| | logs | CPU s | clock s | peak MiB |", "|---|---|---|---|---|"]
    rows += [row for part in parts for row in part.rows]
    told = [line for part in parts for line in part.costs]
    load = max(part.load for part in parts)
    page = ["# Speed", "", *note(load, quick=options.quick), "", *table(parts), "", *rows, ""]
    text = "\n".join([*page, *told, ""])
    print(text)
    if options.write:
        DOCS.write_text(text)
    found = [line for part in parts for lines in part.lines.values() for line in lines]
    return int(any(line.missed for line in found))


def note(load: float, *, quick: bool) -> list[str]:
    """Return what was measured, and where."""
    command = "python -m benchmarks.speed.analyze " + "--quick " * quick
    command += "--compiled BIN --peers BIN --write"
    return [
        f"Printed by `{command}`, Python {sys.version.split()[0]}, one core of {os.cpu_count()}.",
        "CPU time of whole processes unless it says clock; ratios of runs in turn. The machine's",
        f"load was {load:.0f}: above its cores others compete, and every time is longer. A tool",
        f"without numbers failed or took more than {LIMIT:.0f} s. Compiled: what",
        "`SFTDIAG_USE_MYPYC=1 pip install .` builds, with `signals/`, `detectors/` and",
        "`records.py` in C by mypyc; what it says of a log is the same to the last byte.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
