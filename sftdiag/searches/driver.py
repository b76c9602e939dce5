"""Driver: runs what the steps want until they choose; one in each process that shares a search."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftdiag.errors import UnhealthyRunError
from sftdiag.live.trials import Rivals, finished
from sftdiag.searches import refine
from sftdiag.searches import steps as planning
from sftdiag.searches.bracket import Done
from sftdiag.searches.budget import Budget
from sftdiag.searches.outcome import FAILED, Point
from sftdiag.searches.progress import Progress, Tell
from sftdiag.searches.result import SearchResult
from sftdiag.searches.settings import EPOCHS, RATE, SEED, Facts
from sftdiag.searches.steps import REFINE, SEEDS, Choice
from sftdiag.searches.trial import MakeTrainer, run_trial
from sftdiag.values import Value

if TYPE_CHECKING:
    from sftdiag.searches.store import Store

POLL = 1.0
"""Seconds between looks at a storage while other processes run what is wanted."""


class Worker(Value):
    """One of several processes that share the trials of a search that has begun; picklable."""

    make_trainer: MakeTrainer
    storage: Any
    folder: str
    name: str
    facts: Facts
    start: dict[str, float]
    steps: tuple[str, ...]
    on_error: str
    budget: Budget

    def work(self) -> None:
        """Train what is wanted and nobody else trains, until the search is over."""
        from sftdiag.searches.store import Store

        store = Store(self.storage, self.folder, self.name)
        driver = Driver(
            store, self.make_trainer, self.facts, self.folder, self.on_error, None, self.budget
        )
        driver.run(self.start, self.steps, "en")


class Driver:
    """Runs what the steps want until they choose."""

    def __init__(
        self,
        store: Store,
        make_trainer: MakeTrainer,
        facts: Facts,
        folder: str,
        on_error: str,
        tell: Tell | None,
        budget: Budget,
    ) -> None:
        self.store = store
        self.make_trainer = make_trainer
        self.facts = facts
        self.folder = folder
        self.on_error = on_error
        self.progress = Progress(tell)
        self.budget = budget
        self.seeds: float | None = None
        self._spent = False

    def run(self, start: dict[str, float], steps: Sequence[str], lang: str) -> SearchResult:
        """Return the result of the search."""
        now = dict(start)
        choices: list[Choice] = []
        left = [*steps]
        if RATE in left:
            left.insert(1, SEEDS)
        if self.budget.ends or any(t.step == REFINE for t in self.store.done().values()):
            left.append(REFINE)
        for place, step in enumerate(left):
            later = sum(self._most(other, now) for other in left[place + 1 :])
            self.progress.begin(step, self._most(step, now), later)
            self._train(step, now)
            done = self.store.done()
            if step == SEEDS:
                self.seeds = planning.seed_gap(now, done)
                continue
            if step == REFINE and self._spent and not any(t.step == step for t in done.values()):
                continue
            if step == REFINE:
                choice = refine.choose(now, done, self.seeds)
            else:
                choice = planning.choose(step, now, self.facts, done, self.seeds)
            if choice.why == "no_trial" and step == RATE:
                told = f"no trial of the learning rate ran to its end: {self._causes()}"
                raise UnhealthyRunError(told).keyed("search_none", causes=self._causes())
            if self._spent and choice.why in (None, "no_trial"):
                choice = choice.replace(why="budget_spent")
            choices.append(choice)
            now = dict(choice.chosen)
        trials = tuple(sorted(self.store.done().values(), key=lambda trial: trial.number))
        budget = self.budget.seconds if self.budget.ends else None
        return SearchResult(
            start, now, self.facts, tuple(choices), trials, self.seeds, lang, budget
        )

    def _most(self, step: str, now: dict[str, float]) -> int:
        """Return how many trials a step may ask for, for the time left."""
        if step == REFINE:
            return self.budget.trials(now[EPOCHS], self.store.done().values())
        return planning.most(step, now, self.facts)

    def _wanted(self, step: str, now: dict[str, float], done: Done) -> list[dict[str, float]]:
        if step == REFINE:
            # Without a budget, what an earlier call found there still counts.
            return [] if not self.budget.ends else refine.wanted(now, self.facts, done, self.seeds)
        return planning.wanted(step, now, self.facts, done)

    def _train(self, step: str, now: dict[str, float]) -> None:
        """Train until a step has what it wants or the budget is spent; wait for what others run."""
        while not self._spent:
            # Before those that are done, so that none that ends just now is missed.
            running = self.store.running() if self.budget.ends else []
            done = self.store.done()
            wanted = self._wanted(step, now, done)
            if not wanted:
                return
            fitting = [s for s in wanted if self.budget.fits(s, done.values(), running)]
            if not fitting and not running:
                self._spent = True
                return
            self.progress.count(len(wanted))
            for settings in fitting:
                # A second seed asks for its whole curve, in whatever step.
                part = SEEDS if settings[SEED] != now[SEED] else step
                trial = self.store.claim(part, settings)
                if trial is not None:
                    self._one(part, trial, settings)
                    break
            else:
                time.sleep(POLL)

    def _one(self, step: str, trial: Any, settings: dict[str, float]) -> None:
        folder = os.path.join(self.folder, "trials", f"{step}-{trial.number}")
        try:
            with self.store.beating(trial):
                outcome = run_trial(
                    self.make_trainer,
                    settings,
                    folder,
                    lambda: self._rivals(step, settings),
                    self._moved,
                )
        except BaseException:
            self.store.give_up(step, trial)
            raise
        self.store.tell(step, trial, outcome)
        self.progress.ended(outcome.seconds)
        if outcome.state == FAILED and self.on_error == "stop":
            why = f"{outcome.reason}: {outcome.detail}"
            raise UnhealthyRunError(f"a trial failed with {why}").keyed("search_failed", why=why)

    def _moved(self, share: float, curve: tuple[Point, ...]) -> None:
        self.progress.moved(share)

    def _rivals(self, step: str, settings: Mapping[str, float]) -> Rivals:
        """Return the trials with as many epochs; none where the curve is what is asked for."""
        if step in (EPOCHS, SEEDS):
            return Rivals()
        return finished(
            [
                trial.outcome.shares
                for trial in self.store.done().values()
                if trial.outcome.judged is not None and trial.settings[EPOCHS] == settings[EPOCHS]
            ]
        )

    def _causes(self) -> str:
        causes = {
            f"{o.reason}: {o.detail}" if o.state == FAILED else f"{o.cause} {o.cause_name}"
            for o in (trial.outcome for trial in self.store.done().values())
        }
        return "; ".join(sorted(causes))
