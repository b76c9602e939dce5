"""The settings whose runs are stored: the full grid of the guide's four steps, and some between.

Fixed before the first run. The rates are those that the search can ask for from where it starts,
so that its own code finds every trial that it wants among the stored runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

RATES = (5e-5, 1.6e-4, 5e-4, 1.6e-3, 5.1e-3, 1.6e-2)
"""The grid's: half a decade apart, from the guide's highest to where training breaks."""

BETWEEN = (2.8e-4, 8.9e-4, 2.9e-3, 9e-3)
"""Between neighbours of the grid; the search may ask for them, the grid does not count them."""

GUIDES = (1e-5, 2e-5)
"""The guide's other rates for LoRA: the search tries them at its start alone."""

EPOCHS = (1, 2, 3)
RANKS = (16, 32, 64)
BATCHES = (16, 32, 64)
"""The guide's sets of the other three steps."""

USUAL = (3, 32, 32)
"""Epochs, rank and batch where the search starts."""

SEEDS = (42, 43)

SOURCES = ("words", "commands")
"""The two data sets: meanings of English words, and what commands do, in Chinese."""

ROWS, HELD_OUT, LENGTH = 256, 96, 96
"""Training rows, evaluation rows, and tokens of a row at most."""

MICRO = 16
"""Rows of a forward pass in the searchers' account of GPU time; larger batches are accumulated."""

ALPHA_OVER_RANK = 2
WARM_UP = 0.1
CLIP = 1.0
EVALUATIONS_AN_EPOCH = 4


class Cell(NamedTuple):
    """The settings of one run, of one data set."""

    source: str
    rate: float
    epochs: int
    rank: int
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Updates of the schedule."""
        return self.epochs * (ROWS // self.batch)

    @property
    def evaluated_at(self) -> tuple[int, ...]:
        """Steps after which the run is evaluated: each quarter of an epoch, and the end."""
        every = max(1, -(-(ROWS // self.batch) // EVALUATIONS_AN_EPOCH))
        return tuple(s for s in range(1, self.steps + 1) if s % every == 0 or s == self.steps)

    @property
    def key(self) -> str:
        """Names the run in the stored table."""
        return " ".join(f"{value:g}" if isinstance(value, float) else f"{value}" for value in self)


def grid(source: str, seed: int) -> list[Cell]:
    """Return the full grid of the four steps."""
    return _all(source, RATES, seed)


def others(source: str, seed: int) -> list[Cell]:
    """Return what the search may ask for beside the grid."""
    usual = [Cell(source, rate, *USUAL, seed) for rate in GUIDES]
    return [*usual, *_all(source, BETWEEN, seed)]


def everything() -> list[Cell]:
    """Return all runs, those first that the others are worth least without."""
    return [
        cell
        for seed in SEEDS
        for part in (grid, others)
        for cells in zip(*(part(source, seed) for source in SOURCES), strict=True)
        for cell in cells
    ]


def _all(source: str, rates: Sequence[float], seed: int) -> list[Cell]:
    # The longest first, so that none is left alone at the end.
    found = product(sorted(EPOCHS, reverse=True), BATCHES, RANKS, rates)
    return [Cell(source, rate, epochs, rank, batch, seed) for epochs, batch, rank, rate in found]
