"""search(make_trainer): the guide's four steps, one small study each, resumable."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftdiag.api import resolve_settings
from sftdiag.errors import ConfigError
from sftdiag.rows.preflight import preflight
from sftdiag.searches.budget import budget_of
from sftdiag.searches.driver import Driver, Worker
from sftdiag.searches.progress import Tell
from sftdiag.searches.result import SearchResult
from sftdiag.searches.settings import Facts, start_for, usual_start
from sftdiag.searches.steps import STEPS
from sftdiag.searches.trial import MakeTrainer, facts_of, made

if TYPE_CHECKING:
    from sftdiag.searches.store import Store

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
    driver = Driver(store, make_trainer, facts, where, on_error, progress, spendable)
    if engine == "ray":
        from sftdiag.searches.ray_tune import share

        given = (make_trainer, storage, where, name, facts, begun, chosen, on_error, spendable)
        share(Worker(*given), jobs)
    return driver.run(begun, chosen, settings.lang)


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
