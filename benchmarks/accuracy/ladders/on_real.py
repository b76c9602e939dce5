"""The same diseases laid on real healthy runs: their noise, length, logging and settings are real.

Of a labelled healthy run the course is taken out by a moving mean; what is left is its noise, and a
sick course is put in its place. Token accuracy and entropy, which would tell of the old course, are
left out, and so are evaluations but for a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.accuracy import sets
from benchmarks.accuracy.curves import Array
from benchmarks.accuracy.runs import Run
from benchmarks.accuracy.score import score
from benchmarks.accuracy.tables import Said, share, table

LEAST_ROWS, LEAST_LOSS = 5, 0.05
"""Train rows and mean loss of a run that counts; reinforcement learning has losses around 0."""

COUNTS = (10, 25, 100)
"""Borders between the columns: rows up to these, and more."""

JUMP_AT = 0.4
"""Share of the rows before a blow-up."""

Row = dict[str, Any]


class Course(NamedTuple):
    """A real run in parts: its smooth course, and its noise as factors around 1."""

    level: Array
    noise: Array

    @property
    def at(self) -> int:
        """The place of the first row of a blow-up: never the first or the last but one."""
        return max(1, min(int(len(self.level) * JUMP_AT), len(self.level) - 3))


def course(losses: Array) -> Course:
    """Return a run's course, by a moving mean over a tenth of it or five rows, and its noise."""
    width = max(5, len(losses) // 10 | 1)
    padded = np.pad(losses, width // 2, mode="reflect", reflect_type="odd")
    level = np.maximum(np.convolve(padded, np.full(width, 1 / width), "valid"), losses.min() / 2)
    # A mean follows each value by 1 / width; the rest is put back.
    return Course(level, 1 + (losses / level - 1) * np.sqrt(width / (width - 1)))


def _flat(real: Course, size: float) -> tuple[Array, int]:
    fall = 1 - size * np.linspace(0.0, 1.0, len(real.level))
    return real.level[0] * fall * real.noise, 0


def _leap(real: Course, size: float) -> tuple[Array, int]:
    high = np.arange(len(real.level)) >= real.at
    return np.where(high, real.level[0] * size, real.level) * real.noise, real.at


def _zero(real: Course, size: float) -> tuple[Array, int]:
    losses = real.level * real.noise
    losses[real.at] *= size
    losses[real.at + 1 :] = 0.0
    return losses, real.at + 1


def _summed(real: Course, size: float) -> tuple[Array, int]:
    return real.level * real.noise * size, 0


Disease = tuple[str, str, tuple[float, ...], Callable[[Course, float], tuple[Array, int]]]

DISEASES: Mapping[str, Disease] = {
    "flat": ("flat_loss", "fall over the run", (0.01, 0.005, 0.0), _flat),
    "leap": ("lr-high", "times the first loss", (1.5, 3.0, 10.0, 100.0), _leap),
    "zero after a jump": ("zero_or_nan", "times the loss", (3.0, 30.0), _zero),
    "summed": ("summed", "steps", (2.0, 4.0, 8.0, 32.0), _summed),
}
"""Label, unit of the sizes, sizes, and what is done to a course."""


def beds() -> Iterator[tuple[Run, Array]]:
    """Yield the labelled healthy runs that a disease can be laid on, with their losses."""
    for run in [*sets.real(), *sets.gpu()]:
        rows = [row for row in run.rows if "loss" in row and "step" in row]
        try:
            losses = np.array([float(row["loss"]) for row in rows])
        except (TypeError, ValueError):
            continue
        usable = len(losses) >= LEAST_ROWS and np.isfinite(losses).all() and (losses > 0).all()
        if run.warn == "no" and usable and losses.mean() > LEAST_LOSS:
            yield run, losses


def runs() -> Iterator[Run]:
    """Yield every bed with every disease of every size."""
    for bed, losses in beds():
        real = course(losses)
        evaluated = any("eval_loss" in row for row in bed.rows)
        for disease, (label, _, sizes, make) in DISEASES.items():
            if disease == "summed" and not evaluated:
                continue
            for size in sizes:
                sick, onset = make(real, size)
                rows = list(_rows(bed, sick, with_evaluations=disease == "summed"))
                step = [row["step"] for row in rows if "loss" in row][onset]
                name = f"{disease}-{size:g}-{bed.name}"
                yield bed._replace(
                    name=name,
                    kind=disease,
                    label=label,
                    warn="yes",
                    rows=rows,
                    onset=step,
                    size=size,
                )


def _rows(bed: Run, losses: Array, with_evaluations: bool) -> Iterator[Row]:
    left = iter(losses)
    for row in bed.rows:
        if "loss" in row and "step" in row:
            kept = {k: v for k, v in row.items() if k not in ("entropy", "mean_token_accuracy")}
            yield {**kept, "loss": float(next(left))}
        elif with_evaluations and "eval_loss" in row:
            yield {k: v for k, v in row.items() if "accuracy" not in k and "entropy" not in k}


def lines(sick: Sequence[Run], said: Said) -> list[str]:
    """Return the table: share found of every disease and size, by rows, and the median rows."""
    rows = []
    for disease, (_, unit, sizes, _) in DISEASES.items():
        for size in sizes:
            group = [run for run in sick if run.kind == disease and run.size == size]
            cells = []
            for low, high in zip((0, *COUNTS), (*COUNTS, 10**9), strict=True):
                some = [run for run in group if low < _count(run) <= high]
                s = score(some, said)
                late = f", {s.delay + 1:g}" if s.delay is not None else ""
                cells.append(share(s.seen, s.sick) + late)
            rows.append((f"{disease}, {unit}", f"{size:g}", *cells))
    names = ["up to 10 rows", "11 to 25", "26 to 100", "more"]
    count = len({run.name.split("-", 2)[2] for run in sick})
    return [
        f"### On {count} real healthy runs",
        "",
        "Their noise, length, logging and settings are real, the course is not.",
        "",
        *table(("disease", "size", *names), rows),
    ]


def _count(run: Run) -> int:
    return sum("loss" in row for row in run.rows)
