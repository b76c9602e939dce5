"""The ladders judged: share found and rows until then, a rung a figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing import Pool
from statistics import median
from typing import NamedTuple, TypeVar

from benchmarks.accuracy import judges
from benchmarks.accuracy.ladders import blown, evaluations, flat, levels
from benchmarks.accuracy.ladders.rungs import EVERY, MIX, Cell, Ladder, run_of
from benchmarks.accuracy.runs import Run

SEED = 3

LADDERS: Mapping[str, Ladder] = {
    **flat.LADDERS,
    **levels.LADDERS,
    **blown.LADDERS,
    **evaluations.LADDERS,
}
"""Every disease; the order is part of the seeds, so new ones go to the end."""


class Outcome(NamedTuple):
    """What was said of a run: after how many rows its disease was named, whether another was.

    Attributes:
        after: rows that show the disease until it was named, the naming one counted; None is never.
        wrong: the first diagnosis at the end is of another disease.
    """

    after: int | None
    wrong: bool


Key = TypeVar("Key")

Outcomes = Mapping[Cell, Outcome]


def cells(count: int = MIX) -> Iterator[Cell]:
    """Return so many runs of every rung; a multiple of MIX has each noise and vocabulary alike."""
    for disease, ladder in LADDERS.items():
        for size in ladder.sizes:
            for rows in ladder.rows:
                for every in EVERY:
                    yield from (Cell(disease, size, rows, every, n) for n in range(count))


def made(cell: Cell) -> Run:
    """Return the run of a cell."""
    return run_of(SEED, list(LADDERS).index(cell.disease), LADDERS[cell.disease], cell)


def outcome(cell: Cell) -> Outcome:
    """Make and judge the run of a cell."""
    run = made(cell)
    said = judges.sftdiag(run)
    named = next((alarm.step for alarm in said.alarms if alarm.code in run.codes), None)
    wrong = said.primary is not None and said.primary not in run.codes
    if named is None or run.onset is None:
        return Outcome(None, wrong)
    onset = run.onset
    seen = sum(onset <= row["step"] <= named for row in run.rows if "loss" in row)
    return Outcome(seen, wrong)


def outcomes(wanted: Iterable[Cell]) -> dict[Cell, Outcome]:
    """Judge the runs of these cells on all cores."""
    places = list(wanted)
    with Pool() as pool:
        found = pool.map(outcome, places, chunksize=50)
    return dict(zip(places, found, strict=True))


class Rate(NamedTuple):
    """How many runs were named, of how many, and the median of the rows until then."""

    found: int
    runs: int
    after: float | None
    wrong: int

    @property
    def share(self) -> float:
        """The share found."""
        return self.found / self.runs


def rate(judged: Sequence[Outcome]) -> Rate:
    """Return the rate of some outcomes."""
    late = [one.after for one in judged if one.after is not None]
    wrong = sum(one.wrong for one in judged)
    return Rate(len(late), len(judged), median(late) if late else None, wrong)


def rates(said: Outcomes, key: Callable[[Cell], Key]) -> dict[Key, Rate]:
    """Return the rate of every group of cells, in their order."""
    groups: defaultdict[Key, list[Outcome]] = defaultdict(list)
    for cell, one in said.items():
        groups[key(cell)].append(one)
    return {name: rate(group) for name, group in groups.items()}
