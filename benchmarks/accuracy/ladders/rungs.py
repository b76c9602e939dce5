"""What a rung of a ladder is: a disease of one size in a run of one length and one logging."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.curves import Array, Draw, Log, log_uniform, rows, schedule
from benchmarks.accuracy.runs import Run
from benchmarks.accuracy.windows import VOCABULARIES, Shape, chance, learning, log_of, rounded
from sftdiag.context import RunContext

ROWS = (5, 10, 20, 50, 200)
"""Train rows of a run."""

EVERY = (1, 10, 50)
"""logging_steps: TRL's default is 10."""

NOISES = (0.03, 0.15)
"""Relative noise of a step's loss: a batch of dozens of rows, and one of a few."""

MIX = len(NOISES) * len(VOCABULARIES) * 2
"""Runs until every noise, vocabulary, and whether the vocabulary is known, was had once."""


class Bed(NamedTuple):
    """The healthy run that a disease is laid on.

    Attributes:
        shape: how it is written.
        level: the course of the train loss, a value a step.
        rate: the learning rate, a value a step.
        vocabulary: tokens of the model's vocabulary, known to the tool or not.
    """

    shape: Shape
    level: Array
    rate: Array
    vocabulary: int

    @property
    def chance(self) -> float:
        """The loss of a blind guess."""
        return chance(self.vocabulary)

    @property
    def row(self) -> Array:
        """The number of the row that each step is in, from 1."""
        return np.asarray(np.arange(len(self.level)) // self.shape.every + 1.0)

    def log(self, draw: Draw, level: Array, evaluation: Array | None = None) -> Log:
        """Return the series of a run with this course of the loss."""
        return log_of(draw, self.shape, level, self.rate, evaluation)


class Sick(NamedTuple):
    """A sick run in the making: its series, and the row, from 1, that first shows the disease.

    Attributes:
        log: the series.
        onset: the row.
        context: what the tool knows besides the plan and perhaps the vocabulary.
    """

    log: Log
    onset: int = 1
    context: RunContext = RunContext()


class Ladder(NamedTuple):
    """A disease with its sizes, the smallest effect first.

    Attributes:
        label: a key of CODES.
        unit: what the sizes are.
        sizes: the rungs.
        make: lays the disease on a bed.
        rows: row counts at which it can show.
        evaluations: evaluations of a run of so many rows.
        epochs: epochs planned.
        quiet: times the noise of a step: a blind guess has hardly any.
        optional: sizes that need no warning: where the curve must have come down.
    """

    label: str
    unit: str
    sizes: tuple[float, ...]
    make: Callable[[Draw, Bed, float], Sick]
    rows: tuple[int, ...] = ROWS
    evaluations: Callable[[int], int] = lambda rows: 0
    epochs: float = 1.0
    quiet: float = 1.0
    optional: frozenset[float] = frozenset()


class Cell(NamedTuple):
    """Where a run stands on the ladders; ``number`` counts the runs of one rung."""

    disease: str
    size: float
    rows: int
    every: int
    number: int

    @property
    def noise(self) -> float:
        """Relative noise of a step."""
        return NOISES[self.number % len(NOISES)]

    @property
    def vocabulary(self) -> int:
        """Tokens of the model's vocabulary."""
        return VOCABULARIES[self.number // len(NOISES) % len(VOCABULARIES)]

    @property
    def known(self) -> bool:
        """Whether the tool knows the vocabulary."""
        return self.number // (MIX // 2) % 2 == 0


def run_of(seed: int, place: int, ladder: Ladder, cell: Cell) -> Run:
    """Return the run of a cell; everything follows from the arguments.

    Args:
        seed: of the whole set.
        place: of the disease among all.
        ladder: the disease.
        cell: the rung and the run's number on it.
    """
    rung = ladder.sizes.index(cell.size)
    draw = np.random.default_rng([seed, 2, place, rung, cell.rows, cell.every, cell.number])
    evaluations = ladder.evaluations(cell.rows)
    noise = cell.noise * ladder.quiet
    shape = Shape(cell.rows, cell.every, noise, evaluations, ladder.epochs)
    rate = schedule(
        "linear", shape.share - 1 / len(shape.share), 0.0, log_uniform(draw, 2e-5, 3e-4)
    )
    start = draw.uniform(1.5, 3.5)
    level = learning(draw, start, start * draw.uniform(0.4, 0.8), rate)
    made = ladder.make(draw, Bed(shape, level, rate, cell.vocabulary), cell.size)
    plan = shape.plan
    known = RunContext(
        max_steps=plan.steps,
        num_train_epochs=ladder.epochs,
        vocab_size=cell.vocabulary if cell.known else None,
    )
    name = "-".join(f"{part:g}" if isinstance(part, float) else str(part) for part in cell)
    warn = "either" if cell.size in ladder.optional else "yes"
    written = rows(plan, rounded(draw, made.log))
    context = made.context.filled_from(known)
    onset = made.onset * cell.every
    return Run(name, cell.disease, ladder.label, warn, written, context, onset, cell.size)
