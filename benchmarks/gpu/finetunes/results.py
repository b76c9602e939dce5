"""The stored runs: reading them, and what each says of its time, evaluations and checkpoints."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gpu.finetunes.matrix import NONE, Spec
from benchmarks.gpu.finetunes.smollm2.specs import Tune
from sftdiag.sources import every_step

ENDING = ".json.xz"
SECOND_BASE = "smollm2"
"""Folder of the second base's runs, within that of the first's."""

FIRST_COLUMNS = every_step.Step._fields[:10]
"""What a step held, step to bound, in the runs that were made before files named the columns."""

KEPT = 3
"""Checkpoints that are kept, as users set save_total_limit."""


def name(spec: Spec, *, watched: bool) -> str:
    """Return the name of a run's file, without its ending."""
    return f"{spec.name}.{'watched' if watched else 'plain'}"


@dataclass(frozen=True)
class Result:
    """One run's file.

    Attributes:
        data: its content, as ``train.py`` wrote it.
    """

    data: Mapping[str, Any]

    @property
    def log(self) -> Sequence[Mapping[str, Any]]:
        """The rows of ``log_history``, with every step in the place of their means where kept."""
        rows: Sequence[Mapping[str, Any]] = self.data["log"]
        columns = self.data.get("every_step_columns", FIRST_COLUMNS)
        steps = every_step.decoded(self.data.get("every_step", ""), columns)
        return every_step.merged(rows, steps)

    @property
    def steps(self) -> int:
        """Optimizer steps that were done."""
        return int(self.data["steps"])

    @property
    def planned(self) -> int:
        """Optimizer steps that were planned; 0 where ``train()`` failed before it knew."""
        return int(self.data["max_steps"])

    @property
    def stop_on(self) -> str | None:
        """From which severity the run was stopped live, where it was watched; None for none."""
        severity: str | None = self.data.get("stop_on", "error")
        return severity

    @property
    def complete(self) -> bool:
        """Whether all planned steps were done."""
        return 0 < self.planned == self.steps

    @property
    def evaluations(self) -> list[tuple[int, float]]:
        """Steps and losses of the evaluations; what is not finite is infinite."""
        pairs = [(int(row["step"]), row["eval_loss"]) for row in self.log if "eval_loss" in row]
        return [(step, loss if isfinite(loss) else inf) for step, loss in pairs]

    @property
    def seconds(self) -> float:
        """Seconds of the whole run; 0 where no step was done."""
        return float(self.data["seconds"] or 0.0)

    def seconds_at(self, step: int) -> float:
        """Return the seconds after so many steps; between the steps that were timed, a line.

        A run that is stopped before step 1 still does that step, so 0 counts as 1.
        """
        step = min(max(step, 1), self.steps)
        timed = {int(at): float(seconds) for at, seconds in self.data["times"].items()}
        points = sorted({0: 0.0, **timed, self.steps: self.seconds}.items())
        for (before, low), (after, high) in pairwise(points):
            if step <= after:
                return low + (high - low) * (step - before) / (after - before)
        return self.seconds

    def kept(self, step: int) -> list[int]:
        """Return the checkpoints that are there after a step: the best one and the newest.

        One is saved at each evaluation, and the trainer's rotation spares the best so far.
        """
        losses = {at: loss for at, loss in self.evaluations if at <= step}
        best = min(losses, key=losses.__getitem__, default=None)
        newest = list(losses)[-KEPT:]
        if best is None or best in newest or losses[best] == inf:
            return newest
        return [best, *newest[1 - KEPT :]]

    def lowest(self) -> int:
        """Return the step of the lowest evaluation loss.

        That is looked for around the lowest median of three neighbours, so that one lucky
        evaluation elsewhere is no minimum. A run that was never evaluated has it at its end.
        """
        losses = [loss for _, loss in self.evaluations]
        if not losses:
            return self.steps
        smooth = [median(losses[max(0, at - 1) : at + 2]) for at in range(len(losses))]
        around = smooth.index(min(smooth))
        near = range(max(0, around - 1), min(len(losses), around + 2))
        return self.evaluations[min(near, key=losses.__getitem__)][0]


@dataclass(frozen=True)
class Run:
    """A run of the matrix: without sftdiag to its end, watched, or both."""

    spec: Spec
    plain: Result | None = None
    watched: Result | None = None

    @property
    def faulty(self) -> bool:
        """Whether it has a fault."""
        return self.spec.fault != NONE

    @property
    def full(self) -> Result:
        """The longest log of the two."""
        both = [result for result in (self.plain, self.watched) if result is not None]
        return max(both, key=lambda result: result.steps)

    def recorded(self, key: str) -> Mapping[str, Any]:
        """Return what sftdiag kept of the run: its ``context``, or what the checks said."""
        for result in (self.watched, self.plain):
            if result is not None and result.data.get(key):
                kept: Mapping[str, Any] = result.data[key]
                return kept
        return {}


def read(path: Path) -> Any:
    """Return what a run's file holds."""
    return json.loads(lzma.decompress(path.read_bytes()))


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a run's file, compact."""
    path.write_bytes(lzma.compress(json.dumps(data, separators=(",", ":")).encode()))


def spec_of(data: Mapping[str, Any]) -> Spec:
    """Return the spec of a run's file: of the first base, or of the second."""
    return (Tune if "base" in data["spec"] else Spec)(**data["spec"])


def load(folder: Path) -> list[Run]:
    """Read all runs of a folder, by name.

    Raises:
        ValueError: a file's name is not that of the run in it.
    """
    runs: dict[str, Run] = {}
    for path in sorted(folder.glob(f"*{ENDING}")):
        data = read(path)
        spec = spec_of(data)
        inside = name(spec, watched=data["watched"])
        if path.name != f"{inside}{ENDING}":
            raise ValueError(f"{path.name} holds {inside}")
        known = runs.get(spec.name, Run(spec))
        result = Result(data)
        runs[spec.name] = (
            Run(spec, known.plain, result) if data["watched"] else Run(spec, result, known.watched)
        )
    return [run for _, run in sorted(runs.items())]
