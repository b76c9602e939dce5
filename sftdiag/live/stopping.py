"""Stopping: whether a stop may save, and what to say of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from sftdiag.findings import Finding, Report
from sftdiag.monitor import Monitor
from sftdiag.policy import NEVER_SAVED
from sftdiag.report.one_line import stop_line
from sftdiag.sources import checkpoints
from sftdiag.trainer.versions import best_step

WRITES_A_MODEL = frozenset(("trl", "llama-factory", "axolotl"))
"""Frameworks whose command writes the model when the training is over, however it ended."""


ROTATION = "unsaved_rotation"
"""Why a stop does not save, of :func:`hindrance`: a better checkpoint would make room for it."""


class Stop:
    """The stop of a run: the finding that caused it, and why nothing is saved at it, if so.

    ``saves_end``: what else would save is kept from it from here on.
    """

    def __init__(self, cause: Finding, hindrance: str | None) -> None:
        self.cause = cause
        self.hindrance = hindrance
        self.saves_end = False


class Checkpoints:
    """The steps of a run's checkpoints, followed alike on every rank without looking at a disk."""

    def __init__(self, steps: Iterable[int]) -> None:
        self.steps = sorted(steps)

    def add(self, args: Any, state: Any) -> None:
        """Follow the trainer, which saves now and rotates."""
        self.steps = self.after_saving(args, state)

    def after_saving(self, args: Any, state: Any) -> list[int]:
        """Return what a save at this step would leave; as transformers' rotate_checkpoints does."""
        steps = sorted({*self.steps, state.global_step})
        limit = args.save_total_limit
        if limit is None or limit <= 0:
            return steps
        kept = {steps[-1], _step_of(state.best_model_checkpoint), best_step(state)}
        most = max(limit, len(kept & set(steps)))
        deletable = [step for step in steps if step not in kept]
        gone = set(deletable[: max(0, len(steps) - most)])
        return [step for step in steps if step not in gone]


def weights_worse(report: Report) -> bool:
    """Return whether by this diagnosis the weights are worse than older ones."""
    return any(
        finding.resolved_step is None
        and finding.severity >= NEVER_SAVED.get(finding.code, finding.severity + 1)
        for finding in report.findings
    )


def hindrance(
    cause: Finding, monitor: Monitor, args: Any, state: Any, saves: Checkpoints
) -> str | None:
    """Return why a stop must not save (a key of report/text.toml), or None when it may.

    Args:
        cause: the finding that stops the run.
        monitor: the run's.
        args: the run's TrainingArguments.
        state: its TrainerState.
        saves: its checkpoints.
    """
    if weights_worse(monitor.report()):
        return "unsaved_worse"
    if getattr(args.save_strategy, "value", args.save_strategy) == "no":
        return "unsaved_strategy"
    return ROTATION if saving_loses(cause, monitor, args, state, saves) else None


def saving_loses(
    cause: Finding, monitor: Monitor, args: Any, state: Any, saves: Checkpoints
) -> bool:
    """Return whether a save at the stop would delete a checkpoint that is worth more than it.

    Worth more is the one to go back to, where an evaluation says so or the weights are worse now.
    """
    back = back_to(saves.steps, cause, monitor)
    if back is None or back in saves.after_saving(args, state):
        return False
    return monitor.best_evaluation() is not None or weights_worse(monitor.report())


def back_to(steps: Iterable[int], cause: Finding, monitor: Monitor) -> int | None:
    """Return the sound one of some checkpoints nearest the best evaluation, or else the onset."""
    best, until = monitor.best_evaluation(), monitor.sound_until
    goal = best[1].step if best is not None else cause.onset_step
    if isinstance(known := cause.evidence.get("last_good_step"), int):
        goal = until = known
    return nearest(steps, goal, until)


def stop_text(stop: Stop, monitor: Monitor, args: Any, state: Any) -> str:
    """Say where a run was stopped, its best evaluation, where to go back to, and what was saved."""
    cause = stop.cause
    best = monitor.best_evaluation()
    if stop.saves_end:
        back = back_to(monitor.signals.checkpoints, cause, monitor)
        lang, at = monitor.settings.lang, state.global_step
        return stop_line(cause, at, state.max_steps, best, back, "saves_end", lang)
    folder = run_folder(args, state)
    saved = set(checkpoints(folder) if folder else ())
    if args.save_total_limit == 1 and state.best_model_checkpoint:
        # At the end of training transformers deletes all but the best one.
        saved &= {_step_of(state.best_model_checkpoint)}
    here = state.global_step in saved
    told = "saved_here" if here else stop.hindrance or "saved_nothing"
    return stop_line(
        cause,
        state.global_step,
        state.max_steps,
        best,
        back_to(saved, cause, monitor),
        told if args.save_strategy is not None or saved else None,
        monitor.settings.lang,
        model_follows=not here and _model_follows(monitor, args, state),
    )


def _model_follows(monitor: Monitor, args: Any, state: Any) -> bool:
    """Return whether the command behind the trainer writes the model that was stopped."""
    best = getattr(args, "load_best_model_at_end", False) and state.best_model_checkpoint
    return not best and monitor.signals.context.framework in WRITES_A_MODEL


def nearest(steps: Iterable[int], goal: int | None, until: int | None) -> int | None:
    """Return the step nearest to the goal, the earlier of two, of those up to the last that counts.

    None without a step or a goal.
    """
    if goal is None:
        return None
    counted = (step for step in steps if until is None or step <= until)
    return min(counted, key=lambda step: abs(step - goal), default=None)


def run_folder(args: Any, state: Any) -> str | None:
    """Return the folder of the run's checkpoints; a trial of a search has one of its own."""
    folder: str = args.output_dir or ""
    if not state.is_hyper_param_search or not folder:
        return folder or None
    if state.trial_name:
        return os.path.join(folder, state.trial_name)
    trials = (entry for entry in os.scandir(folder) if entry.name.startswith("run-"))
    newest = max(trials, key=lambda entry: entry.stat().st_mtime, default=None)
    return newest.path if newest is not None else None


def _step_of(checkpoint: str | None) -> int | None:
    name = os.path.basename(checkpoint or "").rpartition("-")[2]
    return int(name) if name.isdecimal() else None
