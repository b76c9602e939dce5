"""The part of docs/search_score.md on drawn surfaces, whose true losses are known.

A stored table is one draw of seeds and rows: who takes the lowest of many looks good on it. Here
each surface is a smooth bowl over the four settings in which they interact, and what a searcher is
told is the true loss with the noise of a seed and of the rows; it is judged by the true one.
"""

from __future__ import annotations

import gc
import logging
import math
import random
from collections.abc import Sequence
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.search import cells, replay, searchers
from benchmarks.search.cells import Cell
from benchmarks.search.table import Table
from sftdiag.searches.settings import SEED

BOWLS = 30
"""Surfaces: the mean of a difference is then right to about 0.2 %."""

SHARES = (None, 0.25)
"""Budgets, as over the stored runs."""

STUDENT = 2.045
"""97.5 % quantile of Student's t with 29 degrees of freedom, of thirty surfaces."""

LEVEL = 2.0
"""The loss at the bottom of a bowl."""

FALL, BEND = 0.35, 1.5
"""What a run falls in all, and the power of the share that is left by which it does."""


class Bowl(Table):
    """A surface drawn by its number; every cell's run is made when it is asked for.

    The best rate lies between 1.6e-4 and 5e-3 and goes with the rank (a doubling divides it by up
    to 2), the batch (multiplies, up to 2) and the epochs (a halving multiplies, up to 2.5). Half a
    decade beside it costs 1 to 2.5 %. The best number of epochs lies between 1.2 and 3.2, and one
    beside it costs 0.3 to 2 %. A row's noise makes the mean of all differ by 0.2 to 0.6 %, a seed's
    by 0.05 to 0.3 %.
    """

    def __init__(self, number: int) -> None:
        super().__init__({}, f"surface {number}", number)
        draw = random.Random(self.source)
        self.place = draw.uniform(-3.8, -2.3)
        self.by_rank, self.by_batch, self.by_epochs = (draw.uniform(0, x) for x in (0.3, 0.3, 0.4))
        self.steep = draw.uniform(0.04, 0.10)
        self.epochs, self.epoch = draw.uniform(1.2, 3.2), draw.uniform(0.003, 0.02)
        self.rank, self.batch = draw.uniform(-0.003, 0.003), draw.uniform(-0.002, 0.006)
        self.row = LEVEL * draw.uniform(0.002, 0.006) * math.sqrt(cells.HELD_OUT / 2)
        self.of_seed = draw.uniform(0.0005, 0.003)

    @property
    def tokens(self) -> list[int]:
        """Return as many for each row."""
        return [10] * cells.HELD_OUT

    def has(self, cell: Cell) -> bool:
        """Return that every cell can be run."""
        return True

    def off(self, cell: Cell) -> float:
        """Return how far a cell's rate lies from the one that suits its other settings, in decades.

        Above it training breaks sooner than below it slows.
        """
        found = math.log10(cell.rate) - self.place
        found += self.by_rank * math.log2(cell.rank / cells.USUAL[1])
        found -= self.by_batch * math.log2(cell.batch / cells.USUAL[2])
        return found + self.by_epochs * math.log2(cell.epochs / cells.USUAL[0])

    def truth(self, cell: Cell) -> float:
        """Return a cell's true loss."""
        off = self.off(cell)
        over = self.steep * off**2 * (1 + max(0.0, off) / 2)
        over += self.epoch * (cell.epochs - self.epochs) ** 2
        over -= self.rank * math.log2(cell.rank / cells.USUAL[1])
        over += self.batch * math.log2(cell.batch / cells.USUAL[2])
        return LEVEL * (1 + over)

    def run(self, cell: Cell) -> dict[str, Any]:
        """Return a run: its evaluations and the rows' losses at its end."""
        draw = random.Random(cell.key)
        level = self.truth(cell) * (1 + draw.gauss(0, self.of_seed))
        rows = [level + draw.gauss(0, self.row) for _ in self.tokens]
        fall = FALL * max(0.2, 1 + 0.3 * self.off(cell))
        shares = [step / cell.steps for step in cell.evaluated_at]
        curve = [fmean(rows) + fall * (1 - share) ** BEND for share in shares]
        return {"eval_loss": curve, "rows": rows}

    def cost(self, cell: Cell, steps: int, evaluations: int) -> float:
        """Return the passes of 16 rows."""
        return steps * (cell.batch / cells.MICRO)

    @cached_property
    def lowest(self) -> float:
        """The grid's lowest true loss."""
        return min(self.truth(cell) for cell in self.grid)

    def regret(self, cell: Cell) -> float:
        """Return by which share a cell's true loss lies above the grid's best."""
        return self.truth(cell) / self.lowest - 1


Regrets = dict[str, list[float]]


def measured(share: float | None) -> tuple[Regrets, float]:
    """Return the regrets of all searchers on each surface, and the share of the grid's passes."""
    found: Regrets = {name: [] for name in ("choice", "lowest", *searchers.OTHERS)}
    used = []
    for number in range(BOWLS):
        bowl = Bowl(number)
        given = None if share is None else share * bowl.whole
        own = searchers.ours(bowl, given)
        assert own.cell is not None
        seen = [t for t in own.result.trials if t.outcome.judged is not None]
        seen = [t for t in seen if t.settings[SEED] == own.result.start[SEED]]
        lowest = min(seen, key=lambda trial: trial.outcome.judged).settings
        found["choice"].append(bowl.regret(own.cell))
        found["lowest"].append(bowl.regret(replay.cell_of(bowl.source, lowest)))
        used.append(own.spent / bowl.whole)
        for name, search in searchers.OTHERS.items():
            chosen = search(bowl, given or own.spent, number).cell
            assert chosen is not None
            found[name].append(bowl.regret(chosen))
    return found, fmean(used)


def written() -> str:
    """Return the part, measured in a process of its own."""
    logging.disable(logging.WARNING)
    gc.freeze()
    lines = [
        "## Drawn surfaces, judged by their true losses",
        "",
        f"{BOWLS} smooth bowls over rate, epochs, rank and batch, in which these interact",
        "(benchmarks/search/bowls.py says between which bounds they are drawn). A searcher is told",
        "a cell's true loss with the noise of a seed and of the rows, and judged by the true loss",
        "of what it chose. Budgets are counted in passes of 16 rows. Other draws of the same",
        "bounds showed that step 2 has to try fewer epochs though the long run falls to its end;",
        "these surfaces were not looked at before.",
        "",
    ]
    for share in SHARES:
        lines += table(*measured(share), share)
    return "\n".join(lines)


def table(found: Regrets, used: float, share: float | None) -> list[str]:
    """Return the table at one budget."""
    told = (
        f"Without a budget: the four steps, {used:.0%} of the grid's cost, for all"
        if share is None
        else f"With a budget of {share:.0%} of the grid's cost, of which ours uses {used:.0%}"
    )
    known = "mean | 95 %"
    lines = [
        f"#### {told}",
        "",
        "| | true loss over the grid's best: mean | median | worst "
        f"| lowest loss against it: {known} | choice against it: {known} |",
        "|---|---|---|---|---|---|---|---|",
        f"{row('**sftdiag.search**, its lowest loss', found['lowest'])} | | | |",
        f"{row('**sftdiag.search**, what it chose', found['choice'])} | | | |",
    ]
    for name in searchers.OTHERS:
        gaps = [against(found[own], found[name]) for own in ("lowest", "choice")]
        ends = " | ".join(f"{mean:+.2%} | {low:+.2%} to {high:+.2%}" for mean, low, high in gaps)
        lines.append(f"{row(name, found[name])} {ends} |")
    return [*lines, ""]


def against(mine: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Return by how much ours lie above the others', in the mean, and its 95 % interval."""
    gaps = [one - other for one, other in zip(mine, others, strict=True)]
    half = STUDENT * stdev(gaps) / math.sqrt(len(gaps))
    return fmean(gaps), fmean(gaps) - half, fmean(gaps) + half


def row(name: str, values: Sequence[float]) -> str:
    """Return the first cells of a row."""
    return f"| {name} | {fmean(values):+.2%} | {median(values):+.2%} | {max(values):+.2%} |"
