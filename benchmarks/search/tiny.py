"""The part of docs/search_score.md on a model that is trained here, from a start that is far off.

A tiny Llama, trained from nothing on the CPU, where the best rate is far above the guide's: the
search has to find its way. Costs are optimizer steps, which a busy machine does not change; each
trial of the grid is trained once, and the random search draws from the same grid.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tempfile
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "helpers")]

RATES = (1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1)
EPOCHS = (1, 2, 3)
ACCUMULATION = (1, 2, 4)
"""The full grid: the search's span of rates in its own steps, and the guide's other sets."""

DRAWS = 200
"""Random searches, each a draw of the grid's cells until the search's cost is spent."""


def measured() -> tuple[Any, list[tuple[dict[str, Any], float | None, int, str | None]]]:
    """Return the search's result, and of each cell its settings, loss, steps and cause."""
    import sftdiag
    from sftdiag.searches.settings import usual_start
    from sftdiag.searches.trial import run_trial

    # Of the tests' helpers, which are no package.
    make_trainer = import_module("small_search").make_trainer
    start = {"learning_rate": 1e-4, "gradient_accumulation_steps": 1}
    cells = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = sftdiag.search(make_trainer, start, folder=f"{folder}/search")
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
    return result, cells


def render(result: Any, cells: list[tuple[dict[str, Any], float | None, int, str | None]]) -> str:
    """Return the part."""
    cost = sum(
        trial.outcome.last_step * trial.settings["gradient_accumulation_steps"]
        for trial in result.trials
    )
    whole = sum(steps for _, _, steps, _ in cells)
    known = [loss for _, loss, _, _ in cells if loss is not None]
    best = min(known)
    last = next(made for made in reversed(result.choices) if made.loss is not None)
    drawn = sorted(best_of(cells, cost, seed) for seed in range(DRAWS))
    table = [
        row("search", last.loss, best, cost, whole),
        row("full grid", best, best, whole, whole),
        row("random, median", drawn[DRAWS // 2], best, cost, whole),
        row("random, one in ten above", drawn[int(0.9 * DRAWS)], best, cost, whole),
    ]
    pruned: dict[str, int] = {}
    for trial in result.pruned:
        pruned[trial.outcome.cause] = pruned.get(trial.outcome.cause, 0) + 1
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
        "",
        "| | evaluation loss | over the grid's best | cost | share of the grid's |",
        "|---|---|---|---|---|",
        *table,
        "",
        f"{len(result.trials)} trials, of which ended early: "
        + (", ".join(f"{count} by {cause}" for cause, count in sorted(pruned.items())) or "none")
        + ".",
        "",
        "What the search says:",
        "",
        "```",
        *told(result),
        "```",
        "",
    ]
    return "\n".join(lines)


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
