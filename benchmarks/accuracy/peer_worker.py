"""Replays logs through the peers; runs in their environment, where sftdiag is not installed.

Reads runs as JSON lines, ``{"name", "rows", "cuts", "max_steps"}``, and answers each with
``{"name", "judgements": {peer: {"alarms": [[code, step], ...], "primary": code}}}``. The last line
is ``{"crashes": {peer: {error: cuts}}, "seconds": {peer: [total, longest]}, "cuts": cuts}``.

At every cut the peers get the log up to there as the trainer_state.json that a run of that length
has; peer_adapters.py says what counts as an alarm of theirs.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer_adapters import PEERS, Finding, Prefix


class Replay:
    """Runs all peers on prefixes and counts what they cost.

    Attributes:
        crashes: peer to error to number of cuts that it crashed on.
        seconds: peer to all seconds and the longest cut's.
        cuts: number of cuts so far.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trainer_state.json"
        self._peers = {name: make() for name, make in PEERS.items()}
        self.crashes: dict[str, Counter[str]] = defaultdict(Counter)
        self.seconds: dict[str, list[float]] = {name: [0.0, 0.0] for name in PEERS}
        self.cuts = 0

    def run(self, rows: list[dict[str, Any]], cuts: list[int], max_steps: int) -> dict[str, Any]:
        """Return every peer's alarms, and its primary finding at the last cut."""
        alarms: dict[str, dict[str, int]] = {name: {} for name in PEERS}
        primary: dict[str, str | None] = dict.fromkeys(PEERS)
        texts = [json.dumps(row) for row in rows]
        steps = list(_steps(rows))
        for cut in cuts:
            self.cuts += 1
            self._write(texts[:cut], rows[cut - 1].get("epoch"), steps[cut - 1], max_steps)
            prefix = Prefix(self._path, rows[:cut], cut == len(rows))
            for name in PEERS:
                findings = [f for f in self._judge(name, prefix) if f[0] > 0]
                for _, code in findings:
                    alarms[name].setdefault(code, steps[cut - 1])
                # The first of the most severe ones.
                primary[name] = max(findings, key=lambda f: f[0])[1] if findings else None
        return {
            name: {"alarms": list(alarms[name].items()), "primary": primary[name]} for name in PEERS
        }

    def _write(self, texts: list[str], epoch: Any, step: int, max_steps: int) -> None:
        head = json.dumps({"epoch": epoch, "global_step": step, "max_steps": max_steps})
        log = ", ".join(texts)
        self._path.write_text(f'{head[:-1]}, "log_history": [{log}]}}\n', encoding="utf-8")

    def _judge(self, name: str, prefix: Prefix) -> list[Finding]:
        started = time.perf_counter()
        try:
            return self._peers[name](prefix)
        except Exception as error:
            # A peer that crashes says nothing of this prefix.
            self.crashes[name][f"{type(error).__name__}: {error}"[:100]] += 1
            return []
        finally:
            passed = time.perf_counter() - started
            total, longest = self.seconds[name]
            self.seconds[name] = [total + passed, max(longest, passed)]


def _steps(rows: list[dict[str, Any]]) -> Iterator[int]:
    """Return each row's step; a row without one has the step of the row before."""
    step = 0
    for row in rows:
        step = row.get("step", step)
        yield step


def main() -> None:
    """Answer the runs of standard input on standard output."""
    warnings.simplefilter("ignore")
    answers = sys.stdout
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        replay = Replay(Path(folder))
        for line in sys.stdin:
            task = json.loads(line)
            judgements = replay.run(task["rows"], task["cuts"], task["max_steps"])
            answers.write(json.dumps({"name": task["name"], "judgements": judgements}) + "\n")
            answers.flush()
        tally = {"crashes": replay.crashes, "seconds": replay.seconds, "cuts": replay.cuts}
        answers.write(json.dumps(tally) + "\n")
