"""The part of docs/search_score.md on the stored runs: searchers at equal GPU time."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from benchmarks.search import cells, runs, searchers
from benchmarks.search.cells import Cell
from benchmarks.search.searchers import Found
from benchmarks.search.table import Table
from sftdiag.live.trials import finished
from sftdiag.searches.noise import STANDARD_ERRORS, row_error
from sftdiag.searches.outcome import RowLosses
from sftdiag.tuning.prospects import cannot_become_best

SEEDS = range(10)

WITHIN, SHARE = 0.01, 0.5
"""What issue and page ask for: 1 % above the grid's best, at half of its GPU time."""

SHARES = (None, 0.25)
"""Budgets, of the grid's GPU time: what the four steps take by themselves, and about twice that,
before which the refinement has ended by itself: beyond, GPU times are not equal."""

STUDENT = 2.262
"""97.5 % quantile of Student's t with nine degrees of freedom, of ten seeds."""

RESAMPLES = 1000

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
        lowest: the cell of the lowest loss, which the others choose.
    """

    regret: float
    seen: float
    share: float
    pruned: int
    lost: int
    chosen: Cell
    lowest: Cell


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
    over = regret(table, chosen), regret(table, lowest)
    return Ours(*over, share, len(pruned), lost, chosen, lowest)


class Measured(NamedTuple):
    """The searchers at one budget, seed by seed.

    Attributes:
        share: the budget, of the grid's GPU time; None for the search's four steps, and what these
            took for the others.
        own: sftdiag's searches.
        others: the cells that the others chose.
    """

    share: float | None
    own: list[Ours]
    others: dict[str, list[Cell]]


def measured(stored: Mapping[str, Any], source: str) -> list[Measured]:
    """Return the searchers over ten seeds, at each budget.

    Nothing that the others do depends on their budget: each runs once, for the largest.
    """
    found = [Measured(share, [], {name: [] for name in searchers.OTHERS}) for share in SHARES]
    draws = any(key.endswith(f" {cells.SEEDS[1]}") for key in stored["runs"])
    most = max(share for share in SHARES if share is not None)
    for seed in SEEDS:
        table = Table(stored, source, seed)
        budgets = []
        for at in found:
            budget = None if at.share is None else at.share * table.whole
            if draws or seed == SEEDS[0]:
                mine = searchers.ours(table, budget)
                at.own.append(of_ours(table, mine))
            else:
                at.own.append(at.own[0])
            budgets.append(budget or at.own[-1].share * table.whole)
        for name, search in searchers.OTHERS.items():
            other = search(table, most * table.whole, seed)
            for at, budget in zip(found, budgets, strict=True):
                chosen = other.at(budget)
                assert chosen is not None
                at.others[name].append(chosen)
    return found


class Against(NamedTuple):
    """By how much our regrets lie above another searcher's, seed by seed.

    Attributes:
        mean: over the seeds.
        by_seeds: its 95 % interval, by Student's t over the seeds.
        by_rows: its 95 % interval, by a bootstrap over seeds and evaluation rows.
    """

    mean: float
    by_seeds: tuple[float, float]
    by_rows: tuple[float, float]


def against(table: Table, mine: Sequence[Cell], others: Sequence[Cell]) -> Against:
    """Return the paired difference to another searcher."""
    pairs = list(zip(mine, others, strict=True))
    gaps = [regret(table, one) - regret(table, other) for one, other in pairs]
    half = STUDENT * stdev(gaps) / sqrt(len(gaps))
    best, tokens = table.truth(table.best), table.tokens
    rows = [zip(table.rows(one), table.rows(other), strict=True) for one, other in pairs]
    sums = [[n * (a - b) for n, (a, b) in zip(tokens, row, strict=True)] for row in rows]
    draw, means = random.Random(0), []
    for _ in range(RESAMPLES):
        held = draw.choices(range(len(tokens)), k=len(tokens))
        seeds = draw.choices(sums, k=len(sums))
        count = sum(tokens[i] for i in held)
        means.append(fmean(sum(row[i] for i in held) / count for row in seeds) / best)
    means.sort()
    ends = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    return Against(fmean(gaps), (fmean(gaps) - half, fmean(gaps) + half), ends)


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


def head(stored: Mapping[str, Any]) -> str:
    """Return what is said of the stored runs before each data set's part."""
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
        "stop when they have spent what sftdiag's search had, or the budget that all are given.",
        "Losses are the mean over a cell's seeds, so a searcher may come out below the grid's best",
        "only between its rates. With one seed stored a cell is scored by the loss that it was",
        "chosen by: who takes the lowest of many gains by that. Each other searcher chooses the",
        "lowest loss that it met; sftdiag's search a cheaper setting, if that is no worse beyond",
        "noise. Both its lowest loss and its choice are held against what the others chose.",
        "",
        "Each other searcher is held against ours seed by seed: the mean of the differences of the",
        "two regrets, its 95 % interval over the ten seeds (Student's t), and over seeds and",
        f"evaluation rows at once (a bootstrap of {RESAMPLES:,} draws).",
        "",
        *(
            ["Without a second seed sftdiag's search comes to the same each time.", ""]
            if first == len(stored["runs"])
            else []
        ),
        "Step 4's rates and the one-standard-error rule came after a first look at this table, on",
        "which the search had been 0.2 % and 2.1 % above the best; that the refinement tries other",
        "epochs with rates of their own, after it had ended 0.17 % above: no blind test.",
        "",
    ]
    return "\n".join(lines)


def written(path: Path, source: str) -> str:
    """Return the part on a data set, read in a process of its own."""
    logging.disable(logging.WARNING)
    stored = runs.read(path)
    gc.freeze()  # Each trial collects garbage; the stored runs are none.
    return "\n".join(part(stored, source))


def part(stored: Mapping[str, Any], source: str) -> list[str]:
    """Return what is said of a data set."""
    table = Table(stored, source)
    best = table.best
    lines = [
        f"### {ABOUT[source]}",
        "",
        f"Best of the grid: {table.truth(best):.4f} at rate {best.rate:g}, {best.epochs} epochs, "
        f"rank {best.rank}, batch {best.batch}. {apart(table)}",
        "",
    ]
    pruned = lost = 0
    for at in measured(stored, source):
        lines += compared(table, at)
        pruned += sum(search.pruned for search in at.own)
        lost += sum(search.lost for search in at.own)
    trials, ended, best_lost = hopeless(stored, source)
    lines += [
        f"Ended early, in these searches: {pruned} trials, of which {lost} would have been best. "
        f"The rule on hopeless curves by itself,",
        f"over {ORDERS} random orders of {TRIALS} cells: {ended:,} of {trials:,} trials ended, "
        f"of which {best_lost} would have been best.",
        again(table),
        "",
    ]
    return lines


def apart(table: Table) -> str:
    """Return how many cells the evaluation rows cannot tell from the best."""
    best = table.rows(table.best)
    one = RowLosses(tuple(best), tuple(table.tokens), len(table.tokens))
    known = [cell for cell in table.grid if isfinite(table.truth(cell)) and cell != table.best]
    errors = {
        cell: row_error(one, one.replace(losses=tuple(table.rows(cell)))) or 0.0 for cell in known
    }
    alike = [
        cell
        for cell in known
        if table.truth(cell) - table.truth(table.best) <= STANDARD_ERRORS * errors[cell]
    ]
    near = sorted(known, key=table.truth)[: len(SEEDS)]
    usual = fmean(errors[cell] for cell in near) / table.truth(table.best)
    return (
        f"The next ten cells differ from it with a standard error of {usual:.2%} over the "
        f"{len(table.tokens)} rows; {len(alike)} of {len(known)} lie within two of theirs."
    )


def compared(table: Table, at: Measured) -> list[str]:
    """Return the table of the searchers at a budget, and whether ours is no worse."""
    share, own, others = at
    mine, used = [search.regret for search in own], [search.share for search in own]
    seen = [search.seen for search in own]
    budget = (
        f"Without a budget: the four steps, {fmean(used):.0%} of the grid's GPU time, for all"
        if share is None
        else f"With a budget of {share:.0%} of the grid's GPU time, of which ours uses "
        f"{fmean(used):.0%} and stops"
    )
    known = "mean | 95 % over seeds | and rows"
    lines = [
        f"#### {budget}",
        "",
        f"| ten seeds | over the grid's best: mean | median | worst | within {WITHIN:.0%} "
        f"| lowest loss against it: {known} | choice against it: {known} |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"{row('**sftdiag.search**, its lowest loss', seen)} | | | | | |",
        f"{row('**sftdiag.search**, what it chose', mine)} | | | | | |",
    ]
    kinds = {
        "lowest loss": [search.lowest for search in own],
        "choice": [search.chosen for search in own],
    }
    worse: dict[str, list[str]] = {kind: [] for kind in kinds}
    beyond: dict[str, list[str]] = {"seeds": [], "seeds and rows": []}
    for name, found in others.items():
        told = row(name, [regret(table, cell) for cell in found])
        for kind, cells_of in kinds.items():
            gap = against(table, cells_of, found)
            ranges = " | ".join(f"{low:+.2%} to {high:+.2%}" for low, high in gap[1:])
            told += f" {gap.mean:+.2%} | {ranges} |"
            if gap.mean > 0:
                worse[kind].append(f"{name} by {gap.mean:.2%}")
            for named, (low, _) in zip(beyond.values(), gap[1:], strict=True):
                named += [f"{name} ({kind})"] if low > 0 else []
        lines.append(told)
    within = sum(value <= WITHIN for value in mine)
    cheaper = [search for search in own if is_cheaper(search)]
    given = sum(search.regret - search.seen for search in cheaper) / len(own)
    by_seeds, by_rows = (", ".join(names) or "none of them" for names in beyond.values())
    return [
        *lines,
        "",
        f"At most {max(used):.0%} of the GPU time ({SHARE:.0%} allowed). The choice within "
        f"{WITHIN:.0%} in {within} of {len(mine)}.",
        f"A cheaper choice inside the noise was kept in {len(cheaper)} of {len(own)}, which gives "
        f"away {given:.2%} in the mean{saved(cheaper)}.",
        f"In the mean, lowest loss against lowest loss: {_named(worse['lowest loss'])}. "
        f"The choice: {_named(worse['choice'])}.",
        f"Worse beyond the interval over seeds: than {by_seeds}; over seeds and rows: than "
        f"{by_rows}.",
        "",
    ]


def is_cheaper(search: Ours) -> bool:
    """Return whether the choice trains less, or a smaller adapter, than the lowest loss."""
    chosen, lowest = search.chosen, search.lowest
    return chosen.epochs < lowest.epochs or chosen.rank < lowest.rank


def saved(cheaper: Sequence[Ours]) -> str:
    """Return what these choices cost less than the lowest losses."""
    if not cheaper:
        return ""
    shares = {
        "less training": 1 - fmean(one.chosen.epochs / one.lowest.epochs for one in cheaper),
        "less adapter": 1 - fmean(one.chosen.rank / one.lowest.rank for one in cheaper),
    }
    return ", for " + " and ".join(f"{value:.0%} {what}" for what, value in shares.items() if value)


def _named(worse: Sequence[str]) -> str:
    return f"worse than {', '.join(worse)}" if worse else "no worse than each of the others"


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
