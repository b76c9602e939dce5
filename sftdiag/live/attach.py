"""attach(trainer): a DiagnosticsCallback that also knows what only the trainer knows."""

from __future__ import annotations

import logging
from typing import Any

from sftdiag.config import Trigger
from sftdiag.errors import ConfigError
from sftdiag.faults import say
from sftdiag.live.bad_steps import Guard
from sftdiag.live.callback import DiagnosticsCallback
from sftdiag.live.step_signals import StepSignals
from sftdiag.live.trials import HyperparameterSearch
from sftdiag.report.one_line import tell
from sftdiag.rows.preflight import RunChecks, guarded_report
from sftdiag.trainer import context as trainer_context
from sftdiag.trainer.fingerprint import fingerprint


def attach(
    trainer: Any,
    stop_on: Trigger = None,
    raise_on: Trigger = None,
    *,
    guard: Any = None,
    **options: Any,
) -> DiagnosticsCallback:
    """Add a :class:`DiagnosticsCallback` that also knows what only the trainer knows.

    In ``trainer.hyperparameter_search(backend="optuna")`` what ``stop_on`` holds for prunes the
    trial, with the cause in its attributes, and so does an evaluation loss with no way to the best.

    Args:
        trainer: a transformers or TRL trainer, before ``train()``.
        stop_on: see :class:`DiagnosticsCallback`.
        raise_on: see :class:`DiagnosticsCallback`.
        guard: True, or :class:`~sftdiag.Guard`: keep steps out of the weights whose loss or
            gradient is not finite, or whose loss is beyond what the run's own noise explains.
        options: its other arguments.

    Returns:
        The callback; ``callback.report`` is the diagnosis.

    Raises:
        ConfigError: it is no trainer or has one already, or an option is wrong.
    """
    trainer_context.expect_trainer(trainer)
    present = trainer.callback_handler.callbacks
    if any(isinstance(callback, DiagnosticsCallback) for callback in present):
        raise ConfigError(
            "this trainer has a DiagnosticsCallback already: take it off first, by "
            "trainer.remove_callback(sftdiag.DiagnosticsCallback)"
        )
    callback = DiagnosticsCallback(stop_on, raise_on, **options)
    callback.guard = Guard.parse(guard) if callback.enabled else None
    introduce(callback, trainer)
    trainer.add_callback(callback)
    if callback.enabled and getattr(trainer, "model_init", None) is not None:
        trainer.add_callback(HyperparameterSearch(callback, trainer))
    if callback.enabled and callback.known.train_samples == 0 and trainer.is_world_process_zero():
        # train() fails before on_train_begin: what the checks know is told now or never.
        for finding in guarded_report(trainer, callback.settings).at_least("error"):
            say(logging.ERROR, tell(finding, callback.settings.lang))
    return callback


def introduce(callback: DiagnosticsCallback, trainer: Any) -> None:
    """Let a callback know the trainer that it is in, or will be, before training begins."""
    rows = fingerprint(trainer.eval_dataset) if callback.enabled else None
    seen = trainer_context.from_trainer(trainer).replace(eval_fingerprint=rows)
    callback.known = callback.known.filled_from(seen)
    callback.checks = RunChecks(callback.settings, trainer)
    callback.steps = StepSignals(trainer) if callback.enabled else None
    if callback.prober is not None:
        callback.prober.trainer = trainer
