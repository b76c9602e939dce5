"""The stored runs as a table: what a searcher is told of a cell, and what that cost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.search import cells
from benchmarks.search.cells import Cell

STORED = Path(__file__).parent / "results" / "smollm2.json.xz"


class Table:
    """The runs of one data set, of which each searcher's seed sees one draw.

    Args:
        stored: see :func:`benchmarks.search.runs.read`.
        source: the data set.
        seed: of the draw: which of a cell's stored runs is its first, which its second.
    """

    def __init__(self, stored: Mapping[str, Any], source: str, seed: int = 0) -> None:
        self.stored, self.source, self.seed = stored, source, seed

    @property
    def tokens(self) -> list[int]:
        """Trained tokens of each evaluation row."""
        found: list[int] = self.stored["tokens"][self.source]
        return found

    def has(self, cell: Cell) -> bool:
        """Return whether the run is stored."""
        return cell.key in self.stored["runs"]

    def drawn(self, cell: Cell) -> Cell:
        """Return the stored run that stands for a cell in this draw."""
        first, second = cells.SEEDS
        others = cell._replace(seed=second if cell.seed == first else first)
        known = cell._replace(seed=first).key
        swapped = random.Random(f"{self.seed} {known}").random() < 0.5
        return others if swapped and self.has(others) and self.has(cell) else cell

    def run(self, cell: Cell) -> dict[str, Any]:
        """Return a cell's stored run in this draw.

        Raises:
            KeyError: it is not stored.
        """
        found: dict[str, Any] = self.stored["runs"][self.drawn(cell).key]
        return found

    def loss(self, cell: Cell) -> float:
        """Return the evaluation loss at a cell's end in this draw; infinite where it is NaN."""
        last = self.run(cell)["eval_loss"][-1]
        return inf if last is None else last

    def truth(self, cell: Cell) -> float:
        """Return the mean over a cell's stored seeds, whatever was drawn."""
        both = [cell._replace(seed=seed) for seed in cells.SEEDS]
        known = [self.stored["runs"][one.key]["eval_loss"][-1] for one in both if self.has(one)]
        return inf if None in known else sum(known) / len(known)

    def rows(self, cell: Cell) -> list[float]:
        """Return the loss of each evaluation row, the mean over a cell's stored seeds."""
        both = [cell._replace(seed=seed) for seed in cells.SEEDS]
        known = [self.stored["runs"][one.key]["rows"] for one in both if self.has(one)]
        return [fmean(inf if x is None else x for x in row) for row in zip(*known, strict=True)]

    def cost(self, cell: Cell, steps: int, evaluations: int) -> float:
        """Return the GPU seconds of so many updates and evaluations."""
        each = self.stored["seconds"][f"{self.source} {cell.rank}"]
        passes = steps * (cell.batch // cells.MICRO)
        return float(
            passes * each["pass"] + steps * each["update"] + evaluations * each["evaluation"]
        )

    @property
    def grid(self) -> list[Cell]:
        """The full grid's cells."""
        return cells.grid(self.source, cells.SEEDS[0])

    @property
    def best(self) -> Cell:
        """The grid's best cell."""
        return min(self.grid, key=self.truth)

    @property
    def whole(self) -> float:
        """GPU seconds of the full grid, each cell evaluated once, at its end."""
        return sum(self.cost(cell, cell.steps, 1) for cell in self.grid)
