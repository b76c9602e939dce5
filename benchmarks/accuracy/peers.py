"""The other tools, each replayed on the prefixes of a log as its users run it.

They live in an environment of their own, in which peer_worker.py runs; peer_adapters.py says what
counts as an alarm of theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.accuracy.runs import Alarm, Judgement, Run

PEERS: Mapping[str, str] = {
    "finetune-doctor": "finetune-doctor==0.2.2",
    "trainproof": "trainproof==0.22.0",
    "runmedic": "runmedic==0.1.1",
    "losslint": "losslint==0.4.1",
    "gradsnitch": "gradsnitch==0.1.0",
}
"""Name in the table: what pip installs."""

PROCESSES = 2

_ROOT = str(Path(__file__).resolve().parents[2])

_WORKER = (
    f"import sys; sys.path.append({_ROOT!r}); "
    "from benchmarks.accuracy import peer_worker; peer_worker.main()"
)


def prepare(folder: Path) -> Path:
    """Return the python of an environment with the peers; it is made when it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join(PEERS.values()) + "\n"
    installed = folder / "peers.txt"
    if python.exists() and installed.exists() and installed.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS.values()], check=True)
    installed.write_text(wanted)
    return python


def replay(python: Path, runs: Sequence[Run]) -> dict[str, dict[str, Judgement]]:
    """Return what each peer says of each run: name of the peer to name of the run.

    What the peers crashed on, and what they cost, goes to standard error.

    Args:
        python: of the environment made by prepare.
        runs: each with a name of its own.
    """
    # Dear runs first, dealt in turn: the shares take about the same time.
    dear = sorted(runs, key=lambda run: -sum(run.cuts()))
    shares = [share for i in range(PROCESSES) if (share := dear[i::PROCESSES])]
    with ThreadPoolExecutor(PROCESSES) as pool:
        answers = list(pool.map(lambda share: _work(python, share), shares))
    said: dict[str, dict[str, Judgement]] = {name: {} for name in PEERS}
    for *judged, _ in answers:
        for answer in judged:
            for peer, judgement in answer["judgements"].items():
                alarms = tuple(Alarm(code, step) for code, step in judgement["alarms"])
                said[peer][answer["name"]] = Judgement(alarms, judgement["primary"])
    _tell([tally for *_, tally in answers])
    return {peer: {run.name: said[peer][run.name] for run in runs} for peer in PEERS}


def _work(python: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Run a worker on the runs and return the lines that it answers."""
    tasks = "".join(json.dumps(_task(run)) + "\n" for run in runs)
    # Isolated, and our folder last: no module of ours may hide one that the peers import.
    done = subprocess.run(
        [python, "-I", "-c", _WORKER],
        input=tasks,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _task(run: Run) -> dict[str, Any]:
    """Return what the worker is told of a run: nothing that tells its label."""
    max_steps = run.context.max_steps or run.last_step
    return {"name": run.name, "rows": run.rows, "cuts": run.cuts(), "max_steps": max_steps}


def _tell(tallies: Sequence[dict[str, Any]]) -> None:
    """Print the peers' crashes and their time, over all workers."""
    cuts = sum(tally["cuts"] for tally in tallies)
    for peer in PEERS:
        total = sum(tally["seconds"][peer][0] for tally in tallies)
        longest = max((tally["seconds"][peer][1] for tally in tallies), default=0.0)
        print(f"{peer}: {cuts} cuts in {total:.0f} s, longest {longest:.2f} s", file=sys.stderr)
        crashes: Counter[str] = Counter()
        for tally in tallies:
            crashes.update(tally["crashes"].get(peer, {}))
        for error, count in crashes.most_common():
            print(f"{peer}: {count} cuts crashed: {error}", file=sys.stderr)
