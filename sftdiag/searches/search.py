"""search(make_trainer): the guide's four steps, one small study each, resumable."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftdiag.api import resolve_settings
from sftdiag.errors import ConfigError, UnhealthyRunError
from sftdiag.live.trials import Rivals, finished
from sftdiag.rows.preflight import preflight
from sftdiag.searches import refine
from sftdiag.searches import steps as planning
from sftdiag.searches.bracket import Done
from sftdiag.searches.budget import Budget, budget_of
from sftdiag.searches.outcome import FAILED, Point
from sftdiag.searches.progress import Progress, Tell
from sftdiag.searches.result import SearchResult
from sftdiag.searches.settings import EPOCHS, RATE, SEED, Facts, start_for, usual_start
from sftdiag.searches.steps import REFINE, SEEDS, STEPS, Choice
from sftdiag.searches.trial import MakeTrainer, facts_of, made, run_trial
from sftdiag.values import Value

if TYPE_CHECKING:
    from sftdiag.searches.store import Store

POLL = 1.0
"""Seconds between looks at a storage while other processes run what is wanted."""

ON_ERROR = ("continue", "stop")
"""What a failed trial does to the search."""


ENGINES = ("local", "ray")


def search(
    make_trainer: MakeTrainer,
    start: Mapping[str, float] | None = None,
    *,
    storage: Any = None,
    folder: str | os.PathLike[str] = "sftdiag-search",
    name: str = "sftdiag",
    steps: Sequence[str] = STEPS,
    budget: str | float | None = None,
    on_error: str = "continue",
    retry_failed: bool = False,
    engine: str = "local",
    jobs: int = 1,
    lang: str | None = None,
    progress: Tell | None = None,
) -> SearchResult:
    """Search learning rate, epochs, LoRA rank and effective batch, in the guide's order.

    Each step keeps the lowest evaluation loss with the other settings fixed; where a cheaper one
    is not worse by more than the noise of the evaluation rows and of two seeds, that one. Trials
    are watched by :func:`sftdiag.attach` and end at the first error, or when their curve cannot
    become the best. What is done is kept: called again with the same folder or storage, the search
    goes on where it was, and several processes with one storage share the trials.

    Args:
        make_trainer: takes a dict and returns a new trainer made of it. The dict has
            ``learning_rate``, ``num_train_epochs``, ``gradient_accumulation_steps``, ``seed`` and
            ``output_dir`` for SFTConfig, ``r`` and ``lora_alpha`` for LoraConfig (leave these two
            out for full fine-tuning). It is called for every trial and once before.
        start: some of these, where the search begins; the guide's and newer evidence otherwise.
        storage: an Optuna storage, its URL such as ``sqlite:///search.db``, or a journal's path;
            default: a journal in the folder, no server.
        folder: where the trials' own folders are.
        name: of the search, where a storage holds several.
        steps: which of the guide's steps, in their order.
        budget: GPU time of all trials together, those of earlier calls and of other processes
            included, as ``"12h"`` or in seconds; time where there is no GPU. No trial begins that
            would take more than is left. What is left after the four steps is spent around what
            they chose, then on second seeds, and ends where noise leaves nothing to find. None:
            the four steps, whatever they take.
        on_error: ``"continue"`` after a trial that failed, or ``"stop"``.
        retry_failed: run trials again that failed in an earlier call.
        engine: ``"local"``, or ``"ray"``: workers of a Ray cluster share the trials. They see the
            same folder, or the storage has a URL.
        jobs: workers, with Ray.
        lang: ``"en"`` or ``"zh"``.
        progress: told how far the search is.

    Returns:
        The choices and every trial: ``print`` it, or use its ``sft_config`` and ``lora_config``.

    Raises:
        ConfigError: an option is wrong, or the storage holds a search that began otherwise.
        UnhealthyRunError: the checks before step 1 found an error that every trial would have; a
            trial failed and ``on_error="stop"``; or no trial of the learning rate ended.
    """
    from sftdiag.searches.store import Store

    settings = resolve_settings(lang=lang)
    if on_error not in ON_ERROR:
        raise ConfigError(f"on_error must be one of {', '.join(ON_ERROR)}; got {on_error!r}")
    if unknown := [step for step in steps if step not in STEPS]:
        known = ", ".join(STEPS)
        raise ConfigError(f"steps are {known}; got {unknown[0]!r}").keyed(
            "search_steps", known=known, given=unknown[0]
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "a search runs in one process: start one for each GPU, with the same storage"
        ).keyed("search_processes")
    if engine not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    usual_start(start)
    spendable = budget_of(budget)
    where = os.path.abspath(folder)
    store = Store(storage, where, name)
    facts, begun = _begun(store, make_trainer, start, where, settings.lang)
    if retry_failed:
        store.retry_failed()
    chosen = tuple(step for step in STEPS if step in steps)
    driver = _Driver(store, make_trainer, facts, where, on_error, progress, spendable)
    if engine == "ray":
        from sftdiag.searches.ray_tune import share

        given = (make_trainer, storage, where, name, facts, begun, chosen, on_error, spendable)
        share(Worker(*given), jobs)
    return driver.run(begun, chosen, settings.lang)


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
        driver = _Driver(
            store, self.make_trainer, self.facts, self.folder, self.on_error, None, self.budget
        )
        driver.run(self.start, self.steps, "en")


def _begun(
    store: Store,
    make_trainer: MakeTrainer,
    given: Mapping[str, float] | None,
    folder: str,
    lang: str,
) -> tuple[Facts, dict[str, float]]:
    """Return what the run is and what the search starts with, from its first beginning.

    Raises:
        ConfigError: the storage's search began with other settings.
        UnhealthyRunError: an error that every trial would have.
    """
    plan = store.plan()
    if plan is None:
        trainer = made(make_trainer, usual_start(given), os.path.join(folder, "first"))
        preflight(trainer, lang=lang).raise_for("error")
        facts = facts_of(trainer)
        del trainer
        start = start_for(facts, given)
        plan = store.plan({"facts": facts.to_dict(), "start": start, "given": dict(given or {})})
        assert plan is not None
    elif given is not None and dict(given) != plan["given"]:
        began = plan["given"]
        raise ConfigError(
            f"the storage holds a search that began with {began}; give another name"
        ).keyed("search_began", began=began)
    return Facts.from_dict(plan["facts"]), dict(plan["start"])


class _Driver:
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
