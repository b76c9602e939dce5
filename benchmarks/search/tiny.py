"""The part of docs/search_score.md on a model that is trained here, from a start that is far off.

A tiny Llama, trained from nothing on the CPU, where the best rate is far above the guide's: the
search has to find its way. Costs are optimizer steps, which a busy machine does not change; each
trial of the grid is trained once, and the random search draws from the same grid.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import tempfile
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "helpers")]

RATES = (1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1)
EPOCHS = (1, 2, 3)
ACCUMULATION = (1, 2, 4)
"""The full grid: the search's span of rates in its own steps, and the guide's other sets."""

TWICE = 10
"""Cells of the grid that are trained with a second seed."""

DRAWS = 200
"""Random searches, each a draw of the grid's cells until the search's cost is spent."""


class Tiny(NamedTuple):
    """What was trained here.

    Attributes:
        result: of the search.
        refined: of the same search, called again with a budget that it cannot use up.
        cells: of each cell of the grid its settings, loss, steps and cause.
        pairs: the losses of the grid's best cells with two seeds.
        rows: the standard errors over the evaluation rows of their differences to the best.
    """

    result: Any
    refined: Any
    cells: list[tuple[dict[str, Any], float | None, int, str | None]]
    pairs: list[tuple[float, float]]
    rows: list[float]


def written() -> str:
    """Return the part, trained in a process of its own."""
    logging.disable(logging.WARNING)
    return render(measured())


def measured() -> Tiny:
    """Search, refine, train the grid, and its best cells with a second seed."""
    import sftdiag
    from sftdiag.searches.noise import row_error
    from sftdiag.searches.settings import usual_start
    from sftdiag.searches.trial import run_trial

    # Of the tests' helpers, which are no package.
    make_trainer = import_module("small_search").make_trainer
    start = {"learning_rate": 1e-4, "gradient_accumulation_steps": 1}
    cells: list[tuple[dict[str, Any], float | None, int, str | None]] = []
    ended: list[tuple[float, int, dict[str, Any], Any]] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = sftdiag.search(make_trainer, start, folder=f"{folder}/search")
        refined = sftdiag.search(make_trainer, start, folder=f"{folder}/search", budget="9d")
        for rate, epochs, accumulation in product(RATES, EPOCHS, ACCUMULATION):
            settings = {
                **usual_start(start),
                "learning_rate": rate,
                "num_train_epochs": epochs,
                "gradient_accumulation_steps": accumulation,
            }
            outcome = run_trial(make_trainer, settings, f"{folder}/grid")
            steps = outcome.last_step * accumulation
            cells.append((settings, outcome.judged, steps, outcome.cause))
            if outcome.judged is not None:
                ended.append((outcome.judged, len(ended), settings, outcome))
        ended = sorted(ended)[:TWICE]
        pairs = []
        for loss, _, settings, _ in ended:
            twin = run_trial(make_trainer, {**settings, "seed": settings["seed"] + 1}, folder)
            if twin.judged is not None:
                pairs.append((loss, twin.judged))
        best = ended[0][3].rows
        rows = [row_error(outcome.rows, best) or 0.0 for *_, outcome in ended[1:]]
    return Tiny(result, refined, cells, pairs, rows)


def render(found: Tiny) -> str:
    """Return the part."""
    result, refined, cells = found.result, found.refined, found.cells
    cost, further = cost_of(result), cost_of(refined)
    whole = sum(steps for _, _, steps, _ in cells)
    known = [loss for _, loss, _, _ in cells if loss is not None]
    best = min(known)
    last = next(made for made in reversed(result.choices) if made.loss is not None)
    seen = {trial.number: trial.outcome.judged for trial in refined.trials}
    drawn = sorted(best_of(cells, cost, seed) for seed in range(DRAWS))
    more = sorted(best_of(cells, further, seed) for seed in range(DRAWS))
    table = [
        row("search", last.loss, best, cost, whole),
        row("random, median", drawn[DRAWS // 2], best, cost, whole),
        row("random, one in ten above", drawn[int(0.9 * DRAWS)], best, cost, whole),
        row("search, refined", seen[refined.choices[-1].trial], best, further, whole),
        row("random, median", more[DRAWS // 2], best, further, whole),
        row("random, one in ten above", more[int(0.9 * DRAWS)], best, further, whole),
        row("full grid", best, best, whole, whole),
    ]
    pruned: dict[str, int] = {}
    for trial in refined.pruned:
        pruned[trial.outcome.cause] = pruned.get(trial.outcome.cause, 0) + 1
    gaps = [abs(one - other) / best for one, other in found.pairs]
    lines = [
        "## From a start that is far off",
        "",
        "A Llama of 0.2 M parameters, trained from nothing on 120 rows on a CPU, evaluated on",
        f"60. The grid has {len(RATES)} rates, {len(EPOCHS)} numbers of epochs and "
        f"{len(ACCUMULATION)} batches, {len(cells)} cells, each",
        "watched and ended at an error as the search's are; random search draws its cells,",
        f"{DRAWS} times, until the search's cost is spent. Cost is in forward-backward passes of a",
        "batch of 16 rows. One data set, one model, one seed of the search: it shows that the",
        "search works where the start is 100 times off, not what it saves on a real model.",
        "Refined is the same search, called again with a budget that it could not use up; its loss",
        "is that of its chosen settings with the first seed, as all here.",
        "",
        "| | evaluation loss | over the grid's best | cost | share of the grid's |",
        "|---|---|---|---|---|",
        *table,
        "",
        f"{len(refined.trials)} trials, of which ended early: "
        + (", ".join(f"{count} by {cause}" for cause, count in sorted(pruned.items())) or "none")
        + ".",
        "",
        f"The noise of one evaluation: with a second seed the grid's {len(gaps)} best cells lie "
        f"{fmean(gaps):.1%} away, at most {max(gaps):.1%};",
        "the standard error over the evaluation rows, of their difference to the best, is "
        f"{fmean(found.rows) / best:.1%}.",
        "",
        "What the search says:",
        "",
        "```",
        *told(refined),
        "```",
        "",
    ]
    return "\n".join(lines)


def cost_of(result: Any) -> int:
    """Return the forward-backward passes of a search's trials."""
    return sum(
        trial.outcome.last_step * trial.settings["gradient_accumulation_steps"]
        for trial in result.trials
    )


def row(name: str, loss: float, best: float, cost: int, whole: int) -> str:
    """Return a row of the table."""
    return f"| {name} | {loss:.4f} | {loss / best - 1:+.1%} | {cost:,} | {cost / whole:.0%} |"


def told(result: Any) -> list[str]:
    """Return the choices and the diff, without times, which differ from machine to machine."""
    from sftdiag.searches import words

    lines = []
    for made in result.choices:
        lines += [f"{words.words('en')[made.step]}: {'; '.join(words.choice(result, made))}"]
    return [*lines, *words.changes(result)]


def best_of(
    cells: list[tuple[dict[str, Any], float | None, int, str | None]], cost: int, seed: int
) -> float:
    """Return the best loss of a random search at a cost; the last cell may go beyond it."""
    order = random.Random(seed).sample(cells, len(cells))
    spent, best = 0, float("inf")
    for _, loss, steps, _ in order:
        if spent >= cost:
            break
        spent += steps
        best = min(best, float("inf") if loss is None else loss)
    return best
