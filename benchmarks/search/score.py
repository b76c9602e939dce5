"""The part of docs/search_score.md on the stored runs: searchers at equal GPU time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.search import cells, searchers
from benchmarks.search.cells import Cell
from benchmarks.search.searchers import Found
from benchmarks.search.table import Table
from sftdiag.live.trials import finished
from sftdiag.tuning.prospects import cannot_become_best

SEEDS = range(10)

WITHIN, SHARE = 0.01, 0.5
"""What issue and page ask for: 1 % above the grid's best, at half of its GPU time."""

ORDERS, TRIALS = 500, 20
"""Random searches, and trials of each, that the rule on hopeless curves is counted over."""

ABOUT = {
    "words": "What English words mean (WordNet)",
    "commands": "What commands do, in Chinese (manpages-zh)",
}


class Ours(NamedTuple):
    """One search of sftdiag's.

    Attributes:
        regret: of what it chose, over the grid's best.
        seen: of the lowest loss that it saw.
        share: of the grid's GPU time.
        pruned: trials that it ended early.
        lost: of these, those that would have ended below all that ran to their end.
        chosen: the cell.
    """

    regret: float
    seen: float
    share: float
    pruned: int
    lost: int
    chosen: Cell


def regret(table: Table, cell: Cell | None) -> float:
    """Return by which share a cell's loss lies above the grid's best, by the mean of both seeds."""
    return float("inf") if cell is None else table.truth(cell) / table.truth(table.best) - 1


def of_ours(table: Table, found: Found) -> Ours:
    """Return the score of a search."""
    ended = [cell for cell, steps in found.trials if steps == cell.steps and table.has(cell)]
    ended = [cell for cell in ended if isfinite(table.loss(cell))]
    lowest = min(ended, key=table.loss)
    pruned = [cell for cell, steps in found.trials if steps < cell.steps]
    lost = sum(table.loss(cell) < table.loss(lowest) for cell in pruned)
    share = found.spent / table.whole
    chosen = found.cell
    assert chosen is not None
    return Ours(regret(table, chosen), regret(table, lowest), share, len(pruned), lost, chosen)


def measured(stored: Mapping[str, Any], source: str) -> tuple[list[Ours], dict[str, list[float]]]:
    """Return the searches over ten seeds, and the others' regrets at each one's GPU time."""
    own: list[Ours] = []
    others: dict[str, list[float]] = {name: [] for name in searchers.OTHERS}
    for seed in SEEDS:
        table = Table(stored, source, seed)
        found = searchers.ours(table)
        own.append(of_ours(table, found))
        for name, search in searchers.OTHERS.items():
            others[name].append(regret(table, search(table, found.spent, seed).cell))
    return own, others


def hopeless(stored: Mapping[str, Any], source: str) -> tuple[int, int, int]:
    """Return trials, those that the rule on hopeless curves ends, and how many were best.

    Over random orders of the cells, each curve against those of as many epochs that ran before, as
    in a search; best is what ends below all trials of its order.
    """
    trials = ended = lost = 0
    for seed in range(ORDERS):
        table, draw = Table(stored, source, seed), random.Random(seed)
        picked = draw.sample([cell for cell in searchers.every(table) if table.has(cell)], TRIALS)
        lowest = min(picked, key=table.loss)
        done: dict[int, list[list[tuple[float, float]]]] = {}
        for cell in picked:
            curve = curve_of(table, cell)
            rivals = finished(done.get(cell.epochs, []))
            at = range(1, len(curve))
            trials += 1
            if any(cannot_become_best(curve[:n], rivals.curves, rivals.best) for n in at):
                ended += 1
                lost += cell == lowest
            elif isfinite(curve[-1][1]):
                done.setdefault(cell.epochs, []).append(curve)
    return trials, ended, lost


def curve_of(table: Table, cell: Cell) -> list[tuple[float, float]]:
    """Return a cell's evaluations over the share of its schedule."""
    found = table.run(cell)["eval_loss"]
    pairs = zip(cell.evaluated_at, found, strict=True)
    return [(step / cell.steps, float("inf") if loss is None else loss) for step, loss in pairs]


def render(stored: Mapping[str, Any]) -> str:
    """Return the part."""
    if not stored["runs"]:
        return "## SmolLM2-135M-Instruct\n\nNo runs are stored yet.\n"
    grid, more = len(cells.RATES), len(cells.BETWEEN)
    first = sum(key.endswith(f" {cells.SEEDS[0]}") for key in stored["runs"])
    others = len(cells.EPOCHS) * len(cells.RANKS) * len(cells.BATCHES)
    device = stored["seconds"]["device"]
    lines = [
        "## SmolLM2-135M-Instruct, every cell trained",
        "",
        f"LoRA on {cells.ROWS} rows of each of two data sets, evaluated on {cells.HELD_OUT}, in "
        f"{device.removeprefix('NVIDIA ')} GPU seconds.",
        f"The full grid has {grid} rates from {cells.RATES[0]:g} to {cells.RATES[-1]:g}, "
        f"{len(cells.EPOCHS)} numbers of epochs, each with a schedule of its own,",
        f"{len(cells.RANKS)} ranks and {len(cells.BATCHES)} batches: {grid * others} cells, and "
        f"{more * others} more at {more} rates between, which the",
        f"searchers may ask for and the grid is not charged for. Stored are {first} of "
        f"{len(cells.everything()) // len(cells.SEEDS)} runs of a first",
        f"seed and {len(stored['runs']) - first} of a second.",
        "The searchers see the runs that they ask for: sftdiag's own steps, noise, storage and",
        "pruning; Optuna's and Ray's samplers and pruners as they come. Each seed draws which of a",
        "cell's runs is seen where two are stored, and is that of the others' samplers; the others",
        "stop when they have spent what sftdiag's search had. Losses are the mean over a cell's",
        "seeds, so a searcher may come out below the grid's best only between its rates.",
        "",
        *(
            ["Without a second seed sftdiag's search comes to the same each time.", ""]
            if first == len(stored["runs"])
            else []
        ),
        "Step 4's rates and the one-standard-error rule came after a first look at this table, on",
        "which the search had been 0.2 % and 2.1 % above the best: these runs are no blind test.",
        "",
    ]
    for source in cells.SOURCES:
        lines += part(stored, source)
    return "\n".join(lines)


def part(stored: Mapping[str, Any], source: str) -> list[str]:
    """Return what is said of a data set."""
    table = Table(stored, source)
    own, others = measured(stored, source)
    mine = [search.regret for search in own]
    best, share = table.best, [search.share for search in own]
    within = sum(value <= WITHIN for value in mine)
    lines = [
        f"### {ABOUT[source]}",
        "",
        f"Best of the grid: {table.truth(best):.4f} at rate {best.rate:g}, {best.epochs} epochs, "
        f"rank {best.rank}, batch {best.batch}.",
        "",
        f"| ten seeds | over the grid's best: mean | median | worst | within {WITHIN:.0%} |",
        "|---|---|---|---|---|",
        row("**sftdiag.search**, what it chose", mine),
        row("its lowest loss", [search.seen for search in own]),
        *(row(name, values) for name, values in others.items()),
        "",
        f"GPU time: {fmean(share):.0%} of the full grid's, at most {max(share):.0%} "
        f"({SHARE:.0%} allowed). Within {WITHIN:.0%} in {within} of {len(mine)}.",
    ]
    less = {name: fmean(mine) - fmean(values) for name, values in others.items()}
    worse = [f"{name} by {by:.2%}" for name, by in less.items() if by > 0]
    told = f"worse than {', '.join(worse)}" if worse else "no worse than each of the others"
    lines.append(f"In the mean: {told}.")
    pruned, lost = sum(search.pruned for search in own), sum(search.lost for search in own)
    trials, ended, best_lost = hopeless(stored, source)
    lines += [
        f"Ended early: {pruned} trials, of which {lost} would have been best. The rule on hopeless "
        f"curves by itself, over {ORDERS} random",
        f"orders of {TRIALS} cells: {ended:,} of {trials:,} trials ended, of which {best_lost} "
        "would have been best.",
        again(table),
        "",
    ]
    return lines


def again(table: Table) -> str:
    """Return whether a trainer that replays the runs, detectors and all, comes to the same."""
    quick, whole = searchers.ours(table), searchers.ours(table, by_trainer=True)
    steps = dict(quick.trials)
    stored = [(cell, step) for cell, step in whole.trials if table.has(cell)]
    others = sum(steps.get(cell) != step for cell, step in stored)
    told = "the same choice" if quick.cell == whole.cell else "another choice"
    return (
        f"Seed {table.seed} replayed in a trainer with all detectors: {told}, {others} of "
        f"{len(stored)} trials end at another step."
    )


def row(name: str, values: Sequence[float]) -> str:
    """Return a row of the table."""
    middle = sorted(values)[len(values) // 2]
    within = sum(value <= WITHIN for value in values)
    return (
        f"| {name} | {fmean(values):+.2%} | {middle:+.2%} | {max(values):+.2%} | "
        f"{within} of {len(values)} |"
    )
