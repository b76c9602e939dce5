"""Searchers over the stored runs: sftdiag's own search, random search, Optuna's and Ray's pruners.

Each is told what a run would have told it, one run at a time, and pays for it. Where two searchers
ask for a cell again that they have had, it costs them nothing.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from math import inf, log, nan
from typing import Any, NamedTuple
from unittest.mock import patch

import optuna

from benchmarks.search import cells, replay
from benchmarks.search.cells import Cell
from benchmarks.search.table import Table

MOST_EVALUATIONS = max(cells.EPOCHS) * cells.EVALUATIONS_AN_EPOCH
"""Of one run: the largest resource of the pruners that want to know it."""

MOST_ASKED = 1000
"""Trials of a searcher at most, many of which may be cells that it has had."""

Stops = Callable[[int, float], bool]
"""Told the number of an evaluation, from 1, and its loss; says whether the trial ends there."""


class Found(NamedTuple):
    """What a searcher came to.

    Attributes:
        cell: what it would use: the lowest loss that it saw at the end of a run; None for none.
        spent: GPU seconds.
        trials: cells that it paid for, with the updates that it trained of each.
        result: of sftdiag's search.
        bests: what it would have used when so much was spent, in order.
    """

    cell: Cell | None
    spent: float
    trials: list[tuple[Cell, int]]
    result: Any = None
    bests: tuple[tuple[float, Cell | None], ...] = ()

    def at(self, budget: float) -> Cell | None:
        """Return what it would have used had its budget been smaller: nothing else depends on it.

        The trial that goes beyond it counts, as in :class:`Purse`.
        """
        return next((cell for spent, cell in self.bests if spent >= budget), self.cell)


class Purse:
    """Pays for trials out of GPU seconds; the last one may cost more than is left."""

    def __init__(self, table: Table, budget: float) -> None:
        self.table, self.budget = table, budget
        self.spent = 0.0
        self.trials: list[tuple[Cell, int]] = []
        self.ended: dict[Cell, float] = {}
        self._steps: dict[Cell, int] = {}
        self._bests: list[tuple[float, Cell | None]] = []

    @property
    def is_empty(self) -> bool:
        """Whether no trial may begin any more."""
        return self.spent >= self.budget

    def run(self, cell: Cell, stops: Stops | None) -> float | None:
        """Run a trial; return its last loss, or None where it was stopped.

        Without ``stops`` it is evaluated at its end only.
        """
        curve = self.table.run(cell)["eval_loss"]
        done, stopped = len(curve), False
        if stops is not None:
            for number, loss in enumerate(curve, 1):
                if stops(number, nan if loss is None else loss):
                    done, stopped = number, number < len(curve)
                    break
        steps = cell.evaluated_at[done - 1]
        self._pay(cell, steps, done if stops is not None else 1)
        if not stopped:
            self.ended[cell] = self.table.loss(cell)
        self._bests.append((self.spent, self._best))
        return None if stopped else self.ended[cell]

    def found(self) -> Found:
        """Return what was found; a trial that ends beyond the budget counts, too."""
        return Found(self._best, self.spent, self.trials, bests=tuple(self._bests))

    @property
    def _best(self) -> Cell | None:
        return min(self.ended, key=lambda cell: self.ended[cell], default=None)

    def _pay(self, cell: Cell, steps: int, evaluations: int) -> None:
        known = self._steps.get(cell, 0)
        if steps > known:
            cost = self.table.cost(cell, steps, evaluations)
            # What a cell's trial costs again is what it had not paid for the first time.
            cost -= self.table.cost(cell, known, evaluations * known // steps) if known else 0.0
            self.spent += cost
            self.trials.append((cell, steps))
            self._steps[cell] = steps


def ours(table: Table, budget: float | None = None, *, by_trainer: bool = False) -> Found:
    """Run ``sftdiag.search`` over the table, from its own start.

    Args:
        table: the stored runs.
        budget: GPU seconds that the search is given; None for its four steps.
        by_trainer: replay each trial in a trainer, detectors and all, a hundred times as slow; else
            its evaluations alone, under the search's rule on hopeless curves.
    """
    from sftdiag.searches import driver
    from sftdiag.searches.search import search
    from sftdiag.searches.trial import run_trial as train

    make = replay.maker(table)
    trials: list[tuple[Cell, int]] = []
    spent = 0.0

    def run_trial(make_trainer: Any, settings: Any, folder: str, rivals: Any, moved: Any) -> Any:
        nonlocal spent
        run: Any = train if by_trainer else partial(replay.run_trial, table)
        outcome = run(make_trainer, settings, folder, rivals, moved)
        cell, steps = replay.cell_of(table.source, settings), outcome.last_step
        trials.append((cell, steps))
        # The rows' losses are asked for once more at the end of a run.
        evaluations = sum(at <= steps for at in cell.evaluated_at) + int(steps == cell.steps)
        cost = table.cost(cell, steps, evaluations)
        spent += cost
        return outcome.replace(seconds=cost, devices=1)

    with tempfile.TemporaryDirectory() as folder, patch.object(driver, "run_trial", run_trial):
        storage = optuna.storages.InMemoryStorage()
        result = search(make, folder=folder, storage=storage, budget=budget)
    return Found(replay.cell_of(table.source, result.settings), spent, trials, result)


def random_search(table: Table, budget: float, seed: int) -> Found:
    """Draw cells, each once, and train each to its end."""
    purse = Purse(table, budget)
    for cell in _shuffled(table, seed):
        if purse.is_empty:
            break
        purse.run(cell, None)
    return purse.found()


def median(table: Table, budget: float, seed: int) -> Found:
    """Optuna's TPE with its MedianPruner, as they come."""
    return _optuna(table, budget, seed, optuna.pruners.MedianPruner())


def hyperband(table: Table, budget: float, seed: int) -> Found:
    """Optuna's TPE with its HyperbandPruner, told how many evaluations a run has."""
    pruner = optuna.pruners.HyperbandPruner(max_resource=MOST_EVALUATIONS)
    return _optuna(table, budget, seed, pruner)


def asha(table: Table, budget: float, seed: int) -> Found:
    """Ray's ASHAScheduler over random cells, told how many evaluations a run has."""
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import ASHAScheduler

    scheduler: Any = ASHAScheduler(max_t=MOST_EVALUATIONS)
    scheduler.set_search_properties("eval_loss", "min")
    purse = Purse(table, budget)
    for cell in _shuffled(table, seed):
        if purse.is_empty:
            break
        trial = Trial("a cell", stub=True)
        scheduler.on_trial_add(None, trial)

        def stops(evaluation: int, loss: float, trial: Any = trial) -> bool:
            result = {"training_iteration": evaluation, "eval_loss": loss}
            return bool(scheduler.on_trial_result(None, trial, result) == scheduler.STOP)

        purse.run(cell, stops)
    return purse.found()


def _optuna(table: Table, budget: float, seed: int, pruner: Any) -> Found:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=f"{table.source} {seed}",  # Hyperband draws a trial's bracket from it.
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner,
    )
    purse = Purse(table, budget)
    for _ in range(MOST_ASKED):
        if purse.is_empty:
            break
        trial = study.ask()
        loss = purse.run(_asked(table, trial), partial(_pruned, trial))
        if loss is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif loss == inf:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, loss)
    optuna.logging.set_verbosity(level)
    return purse.found()


def _pruned(trial: optuna.Trial, evaluation: int, loss: float) -> bool:
    trial.report(loss, evaluation)
    return trial.should_prune()


def _asked(table: Table, trial: optuna.Trial) -> Cell:
    """Return the cell that a trial asks for, by places in order: near ones are alike."""
    values = {"rate": rates(), "epochs": cells.EPOCHS, "rank": cells.RANKS, "batch": cells.BATCHES}
    picked = {
        name: known[trial.suggest_int(name, 0, len(known) - 1)] for name, known in values.items()
    }
    cell = Cell(table.source, **picked, seed=cells.SEEDS[0])  # type: ignore[arg-type]
    # Not every cell between the grid's rates is stored: the nearest rate that is, then.
    near = [other for rate in rates() if table.has(other := cell._replace(rate=rate))]
    return min(near, key=lambda other: abs(log(other.rate / cell.rate)))


def rates() -> tuple[float, ...]:
    """Return the rates that the others search among: as fine as the search's own."""
    return tuple(sorted((*cells.RATES, *cells.BETWEEN)))


def _shuffled(table: Table, seed: int) -> Iterator[Cell]:
    known = [cell for cell in every(table) if table.has(cell)]
    random.Random(seed).shuffle(known)
    return iter(known)


def every(table: Table) -> list[Cell]:
    """Return the cells that the others search among."""
    return [
        Cell(table.source, rate, epochs, rank, batch, cells.SEEDS[0])
        for rate in rates()
        for epochs in cells.EPOCHS
        for rank in cells.RANKS
        for batch in cells.BATCHES
    ]


OTHERS: dict[str, Callable[[Table, float, int], Found]] = {
    "random search": random_search,
    "Optuna: TPE, MedianPruner": median,
    "Optuna: TPE, HyperbandPruner": hyperband,
    "Ray: ASHA": asha,
}
