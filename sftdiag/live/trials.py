"""Trials: what ends a trial of a search, under the callback: a finding, a NaN, a hopeless curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from sftdiag.faults import Faults
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.live.step_events import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from sftdiag.records import as_float
from sftdiag.tuning.prospects import HOPELESS, Curve, cannot_become_best
from sftdiag.values import Value

NAN_LOSS, NAN_EVALUATION = ("SFT106", "non-finite"), ("SFT203", "eval-not-finite")


class End(Value):
    """Why a trial ends before its schedule does.

    Attributes:
        cause: code of the finding, or :data:`~sftdiag.tuning.prospects.HOPELESS`.
        name: the finding's name.
        said: what was seen, where a finding says it.
        step: the optimizer step at which it ends.
    """

    cause: str
    name: str
    said: str | None
    step: int


class Rivals(Value):
    """The trials that have run to their end, and the lowest loss of them."""

    curves: tuple[Curve, ...] = ()
    best: float = float("-inf")


class TrialWatch(TrainerCallback):
    """Ends a trial; added after the :class:`DiagnosticsCallback` that ``attach`` returned.

    Args:
        diagnosis: what it stops for, this ends the trial for.
        rivals: returns the trials to be better than.

    Attributes:
        end: why the trial was ended, or None.
        points: (step, epoch, loss) of its evaluations.
        log_rows: rows of the training log.
    """

    def __init__(
        self, diagnosis: DiagnosticsCallback, rivals: Callable[[], Rivals] = Rivals
    ) -> None:
        self.diagnosis = diagnosis
        self.rivals = rivals
        self._begin()

    def _begin(self) -> None:
        self.end: End | None = None
        self.points: list[tuple[int, float, float]] = []
        self.log_rows = 0
        self._series: str | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh: one instance serves all trials of ``hyperparameter_search``."""
        self._begin()
        self._look(state, control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End on what the checks before step 1 found, once the ranks agree."""
        self._look(state, control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """End on a finding or a loss that is not finite."""
        loss = as_float((logs or {}).get("loss"))
        if loss is not None:
            self.log_rows += 1
        self._look(state, control)
        if loss is not None and not isfinite(loss):
            self._end(End(*NAN_LOSS, None, state.global_step), control)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """End on an evaluation that is not finite, or where the curve has no way to the best."""
        loss = self._loss(metrics or {})
        if loss is not None:
            self.points.append((state.global_step, float(state.epoch or 0.0), loss))
        self._look(state, control)
        if loss is None or state.global_step >= state.max_steps:
            return
        if not isfinite(loss):
            self._end(End(*NAN_EVALUATION, None, state.global_step), control)
            return
        curve = self.shares(state.max_steps)
        rivals = self.rivals()
        if curve and cannot_become_best(curve, rivals.curves, rivals.best):
            self._end(End(HOPELESS, HOPELESS, None, state.global_step), control)

    def shares(self, steps: int) -> list[tuple[float, float]]:
        """Return the curve over the share of the schedule."""
        return [(step / steps, loss) for step, _, loss in self.points if steps > 0]

    def _loss(self, metrics: Mapping[str, Any]) -> float | None:
        """Return the loss of the evaluation set that is followed: the first one met."""
        names = [n for n in metrics if n.startswith("eval_") and n.endswith("_loss")]
        if self._series is None:
            self._series = next(iter(names), None) if "eval_loss" not in names else "eval_loss"
        return as_float(metrics.get(self._series)) if self._series else None

    def _look(self, state: TrainerState, control: TrainerControl) -> None:
        watch = self.diagnosis._watch
        if watch is not None and watch.stop is not None:
            cause = watch.stop.cause
            self._end(End(cause.code, cause.name, cause.message, state.global_step), control)

    def _end(self, end: End, control: TrainerControl) -> None:
        if self.end is None:
            self.end = end
        control.should_training_stop = True


def finished(curves: Sequence[Curve]) -> Rivals:
    """Return the rivals of curves that ran to their end."""
    ended = tuple(curve for curve in curves if curve)
    return Rivals(ended, min((curve[-1][1] for curve in ended), default=float("-inf")))


class HyperparameterSearch(TrialWatch):
    """Prunes the trials of ``trainer.hyperparameter_search(backend="optuna")`` on what stops a run.

    The cause stands in the trial's attributes. With several ranks the trial only stops: the others
    wait for its objective.

    Args:
        diagnosis: the callback; without ``stop_on`` it stops for nothing, and nothing is pruned.
        trainer: whose trials these are.
    """

    def __init__(self, diagnosis: DiagnosticsCallback, trainer: Any) -> None:
        self.trainer = trainer
        self.done: list[Curve] = []
        self._faults = Faults()
        self._by_loss = True
        super().__init__(diagnosis, lambda: finished(self.done) if self._by_loss else Rivals())

    @property
    def trial(self) -> Any:
        """The Optuna trial under way; None outside a search, or where another backend runs it."""
        trial = getattr(self.trainer, "_trial", None)
        return trial if hasattr(trial, "study") else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh with each trial."""
        self._safely(super().on_train_begin, args, state, control, **kwargs)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Prune on what the checks before step 1 found."""
        self._safely(super().on_step_end, args, state, control, **kwargs)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Prune on a finding or a loss that is not finite."""
        self._safely(super().on_log, args, state, control, logs, **kwargs)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Prune a curve that has no way to the best, where the objective is the evaluation loss."""
        told = self._faults.run("the objective", lambda: self._is_loss(metrics or {}), False)
        self._by_loss = told
        self._safely(super().on_evaluate, args, state, control, metrics, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the curve of a trial that ran to its end."""
        curve = self.shares(state.max_steps)
        if self.trial is not None and self.end is None and curve and curve[-1][0] >= 1.0:
            self.done.append(curve)

    def _is_loss(self, metrics: Mapping[str, Any]) -> bool:
        if self.trial is None or self.trial.study._is_multi_objective():
            return False
        objective = self.trainer.compute_objective(dict(metrics))
        minimized = self.trial.study.direction.name == "MINIMIZE"
        return minimized and bool(objective == metrics.get("eval_loss"))

    def _safely(
        self,
        event: Callable[..., None],
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *more: Any,
        **kwargs: Any,
    ) -> None:
        if self.trial is None or not self.diagnosis.policy.acts:
            return
        before = self.end
        self._faults.run("the trials", lambda: event(args, state, control, *more, **kwargs), None)
        if self.end is not None and self.end is not before:
            self._prune(self.end, args, state, control)

    def _prune(
        self, end: End, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        from optuna import TrialPruned

        told = f"{end.cause} {end.name}"
        self._faults.run("the cause", lambda: self.trial.set_user_attr("cause", told), None)
        if end.said is not None:
            said = end.said
            self._faults.run("the cause", lambda: self.trial.set_user_attr("said", said), None)
        if args.world_size > 1:
            return
        self.trainer.callback_handler.on_train_end(args, state, control)
        raise TrialPruned(told)
