"""One trial: a trainer made, watched, trained and judged; the same for Optuna and for Ray."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from math import ceil, isfinite
from typing import Any

import torch
from transformers import set_seed

from sftdiag.errors import printable
from sftdiag.live.attach import attach
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.live.step_events import TrainerControl, TrainerState, TrainingArguments
from sftdiag.live.trials import Rivals, TrialWatch
from sftdiag.searches.outcome import COMPLETE, FAILED, PRUNED, Outcome, Point
from sftdiag.searches.row_losses import row_losses
from sftdiag.searches.settings import ACCUMULATION, OUTPUT, SEED, Facts, not_taken
from sftdiag.trainer import context as trainer_context

MakeTrainer = Callable[[dict[str, Any]], Any]
"""Makes a trainer of settings: ``learning_rate``, ``num_train_epochs``, ``r``, ``lora_alpha``,
``gradient_accumulation_steps``, ``seed`` and ``output_dir``, each the argument of its name of
SFTConfig or LoraConfig. Called anew for every trial; a model must not be kept between calls."""

Moved = Callable[[float, tuple[Point, ...]], None]
"""Told the share of the schedule that is done and the evaluations so far, at each log row."""

EVALUATIONS_AN_EPOCH = 4
"""Where the trainer evaluates at no step by itself: a turn is seen to a quarter of an epoch."""

WHOLE_NUMBERS = frozenset({"r", "lora_alpha", ACCUMULATION, SEED})


class _SearchWatch(TrialWatch):
    """Ends a trial, evaluates where the trainer would not, and tells how far it is."""

    def __init__(
        self,
        diagnosis: DiagnosticsCallback,
        rivals: Callable[[], Rivals],
        moved: Moved | None,
        evaluates: bool,
    ) -> None:
        super().__init__(diagnosis, rivals)
        self.moved = moved
        self._every = EVALUATIONS_AN_EPOCH if evaluates else 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for an evaluation at each quarter of an epoch."""
        super().on_step_end(args, state, control, **kwargs)
        epochs = state.num_train_epochs or 1
        quarter = max(1, ceil(state.max_steps / (epochs * self._every))) if self._every else 0
        at_end = state.global_step >= state.max_steps
        if quarter and (state.global_step % quarter == 0 or at_end):
            control.should_evaluate = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell how far the trial is."""
        super().on_log(args, state, control, logs, **kwargs)
        if self.moved is not None and state.max_steps > 0:
            self.moved(state.global_step / state.max_steps, curve_of(self))


def curve_of(watch: TrialWatch) -> tuple[Point, ...]:
    """Return a watch's evaluations."""
    return tuple(Point(*point) for point in watch.points)


def run_trial(
    make_trainer: MakeTrainer,
    settings: Mapping[str, float],
    folder: str,
    rivals: Callable[[], Rivals] = Rivals,
    moved: Moved | None = None,
) -> Outcome:
    """Train once with some settings, under the callback, and return what it came to.

    An exception of the trainer, or of what makes it, is the trial's outcome and goes no further.

    Args:
        make_trainer: makes the trainer.
        settings: the settings of the trial.
        folder: the trial's own ``output_dir``.
        rivals: returns the trials to be better than.
        moved: told how far the trial is.
    """
    began = time.monotonic()
    trainer = watch = None
    try:
        trainer = made(make_trainer, settings, folder)
        if (name := not_taken(trainer, settings)) is not None:
            raise ValueError(f"make_trainer does not pass on {name}")
        watch = _SearchWatch(_diagnosis(trainer), rivals, moved, _needs_evaluations(trainer))
        trainer.add_callback(watch)
        trainer.train()
        outcome = _judged(trainer, watch)
    except Exception as error:
        first = printable(str(error).strip().partition("\n")[0])
        outcome = Outcome(FAILED, reason=type(error).__name__, detail=first)
        if watch is not None and watch.points:
            outcome = outcome.replace(curve=curve_of(watch))
    finally:
        devices = _devices(trainer)
        del trainer
        _free()
    return outcome.replace(seconds=time.monotonic() - began, devices=devices)


def made(make_trainer: MakeTrainer, settings: Mapping[str, float], folder: str) -> Any:
    """Return the trainer of some settings, its random numbers drawn from their seed."""
    set_seed(int(settings[SEED]))
    given: dict[str, Any] = {
        name: int(value) if name in WHOLE_NUMBERS and float(value).is_integer() else value
        for name, value in settings.items()
    }
    trainer = make_trainer({**given, OUTPUT: folder})
    trainer_context.expect_trainer(trainer, "make_trainer is to return")
    return trainer


def facts_of(trainer: Any) -> Facts:
    """Return what a search needs to know of the run."""
    known = trainer_context.of_trainer(trainer)
    args = trainer.args
    parameters = sum(p.numel() for p in trainer.model.parameters())
    rows = args.train_batch_size * args.world_size
    return Facts(known.method or "full", rows, known.train_samples, parameters)


def _diagnosis(trainer: Any) -> DiagnosticsCallback:
    """Return the callback that stops at errors: the trainer's own, where it has one."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, DiagnosticsCallback):
            return callback
    return attach(trainer, stop_on="error", raise_on=())


def _needs_evaluations(trainer: Any) -> bool:
    """Return whether the trainer does not evaluate by itself.

    Raises:
        ValueError: it has no evaluation rows.
    """
    if trainer.eval_dataset is None:
        raise ValueError("the trainer has no eval_dataset: a search judges by evaluation loss")
    strategy = trainer.args.eval_strategy
    return bool(getattr(strategy, "value", strategy) == "no")


def _judged(trainer: Any, watch: TrialWatch) -> Outcome:
    """Return the outcome of a trial that was trained, to its end or to where it was ended."""
    state, end = trainer.state, watch.end
    if trainer.is_world_process_zero() and os.path.isdir(trainer.args.output_dir):
        state.save_to_json(os.path.join(trainer.args.output_dir, "trainer_state.json"))
    known = Outcome(
        PRUNED, steps=state.max_steps, last_step=state.global_step, log_rows=watch.log_rows
    )
    if end is not None and end.step < state.max_steps:
        return known.replace(
            curve=curve_of(watch), cause=end.cause, cause_name=end.name, said=end.said
        )
    if not watch.points or watch.points[-1][0] < state.global_step:
        trainer.evaluate()
    curve = curve_of(watch)
    if not curve:
        raise ValueError("the evaluations give no eval_loss")
    losses = [point.loss for point in curve if isfinite(point.loss)]
    loss = curve[-1].loss
    if trainer.args.load_best_model_at_end and state.best_metric is not None and losses:
        loss = min(losses)
    if not isfinite(loss):
        return known.replace(curve=curve, cause="SFT203", cause_name="eval-not-finite")
    return known.replace(state=COMPLETE, curve=curve, loss=loss, rows=row_losses(trainer))


def _devices(trainer: Any) -> int:
    args = getattr(trainer, "args", None)
    if args is None or args.device.type == "cpu":
        return 0
    return int(args.world_size * max(1, args.n_gpu))


def _free() -> None:
    """Give the memory of a trial back before the next one takes its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
