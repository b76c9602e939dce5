"""DiagnosticsCallback and attach: sftdiag inside transformers' Trainer and TRL's trainers.

The rules that keep the run unharmed: decisions come from ``logs``, which are the same on every
rank, and are made on every rank alike; input and output happen on world rank 0 only; nothing of the
run is changed, neither its logs nor its state, mode, RNG or batches; an error in here is logged
once and switches the callback off.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sftdiag.api import Selectors, make_settings
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError, UnhealthyRunError
from sftdiag.findings import Finding, Report, Severity
from sftdiag.integrations import trainer_context
from sftdiag.integrations.preflight import RunChecks
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.policy import Policy, Rule, Trigger
from sftdiag.probes.settings import Probes
from sftdiag.report.text import stop_line, summary_line, tell
from sftdiag.sources import CHECKS_FILE, CONTEXT_FILE, checkpoints
from sftdiag.sources import probes as probe_rows
from sftdiag.values import Value

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'sftdiag[trainer]'") from error

if TYPE_CHECKING:
    from sftdiag.integrations.probing import Prober

logger = logging.getLogger("sftdiag")

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}

_Event = TypeVar("_Event", bound=Callable[..., None])


def _unharmed(event: _Event) -> _Event:
    """Keep a fault of an event from the run: log it once and switch the callback off."""

    @functools.wraps(event)
    def wrapper(self: DiagnosticsCallback, *args: Any, **kwargs: Any) -> None:
        if not self.enabled:
            return
        try:
            event(self, *args, **kwargs)
        except UnhealthyRunError:
            raise
        except Exception:
            self.enabled = False
            logger.exception(
                "sftdiag failed and is off for the rest of this run, which goes on unchanged; "
                "please report this traceback with your trainer_state.json"
            )

    return cast("_Event", wrapper)


class DiagnosticsCallback(TrainerCallback):
    """Diagnoses a run while it trains; warns through ``logging`` and never stops it unasked.

    Args:
        stop_on: stop training when such a finding fires or rises: a severity, codes and names
            (from warning on), or a mapping of codes and names to the severity from which each
            acts, such as ``{"SFT201": "info"}``. The run ends as with early stopping; nothing extra
            is saved.
        raise_on: likewise, but raise :class:`~sftdiag.UnhealthyRunError` on every rank.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        lang: ``"en"`` or ``"zh"``.
        probes: True, codes and names, or :class:`~sftdiag.Probes`: ask the model itself for
            repetition, forgetting and unnatural replies, before training and at every evaluation.
        enabled: False turns everything off, as does the environment's ``SFTDIAG_DISABLE=1``.

    Raises:
        ConfigError: a code, name, severity or language does not exist.
    """

    def __init__(
        self,
        stop_on: Trigger = None,
        raise_on: Trigger = None,
        *,
        select: Selectors = None,
        ignore: Selectors = None,
        lang: str = "en",
        probes: Any = None,
        enabled: bool = True,
    ) -> None:
        self.policy = Policy(Rule.parse(stop_on, "stop_on"), Rule.parse(raise_on, "raise_on"))
        self.settings = make_settings(select=select, ignore=ignore, lang=lang)
        self.enabled = enabled and os.environ.get("SFTDIAG_DISABLE", "") in ("", "0")
        self.known = RunContext()
        self.checks = RunChecks(self.settings)
        self.prober = _prober(Probes.parse(probes))
        self._asked = self.enabled
        self._monitor = Monitor(settings=self.settings)
        self._training = False
        self._stopped_by: Finding | None = None

    @property
    def report(self) -> Report:
        """The diagnosis so far; valid at any time, also before and after training."""
        return self._monitor.report()

    @_unharmed
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh; on a resume rebuild the detectors' state from the restored log."""
        context = self.known.filled_from(trainer_context.from_callback(args, state, kwargs))
        self._monitor = Monitor(context, self.settings)
        self._stopped_by = None
        self._training = True
        kept = self._kept_rows(args, state) if self.prober else []
        for entry in probe_rows.merged(state.log_history, kept):
            self._monitor.feed_entry(dict(entry))
        if state.is_world_process_zero:
            _write(args.output_dir, CONTEXT_FILE, context)
        self._check(self.checks.at_start(args, state, kwargs), args, state, control)
        if self.prober is not None:
            if state.is_world_process_zero:
                _write_probes(args.output_dir, kept, afresh=True)
            new = self.prober.begin(args, state, kwargs, kept)
            self._take_probes(new, args, state, control)

    @_unharmed
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Feed the row to the monitor and act on what it changed, on every rank alike."""
        if not self._training or not logs:
            return
        self._feed({**logs, "step": state.global_step}, state, control)

    @_unharmed
    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check an evaluation set's rows once, and ask the model, where that was asked for."""
        if not self._training:
            return
        self._check(self.checks.at_evaluation(state, kwargs), args, state, control)
        if self.prober is not None:
            rows = self.prober.evaluate(args, state, kwargs)
            self._take_probes(rows, args, state, control)

    def _feed(self, row: Mapping[str, Any], state: TrainerState, control: TrainerControl) -> None:
        for finding in self._monitor.feed_entry(row):
            self._act(finding, state, control)

    def _kept_rows(self, args: TrainingArguments, state: TrainerState) -> list[probe_rows.Row]:
        """Return what probes measured in the part of the run that is resumed."""
        if not state.global_step:
            return []
        rows = probe_rows.read(args.output_dir or "")
        return [row for row in rows if row["step"] <= state.global_step]

    def _take_probes(
        self,
        rows: Sequence[probe_rows.Row],
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
    ) -> None:
        """Feed the probes' rows and keep them beside the log, for a later analyze or resume."""
        for row in rows:
            self._feed(row, state, control)
        if rows and state.is_world_process_zero:
            _write_probes(args.output_dir, rows)

    @_unharmed
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say the verdict in one line, and where to go back to after a stop."""
        self._training = False
        if not state.is_world_process_zero:
            return
        if self._stopped_by is not None:
            _say(logging.WARNING, self._stop_text(args, state, self._stopped_by), always=True)
        report = self.report
        worst = {"error": logging.ERROR, "warning": logging.WARNING}.get(
            report.verdict, logging.INFO
        )
        _say(worst, summary_line(report), always=True)

    def _check(
        self,
        outcome: Outcome | None,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
    ) -> None:
        """Take in what the checks said, keep it beside the log, and act on it."""
        if outcome is None:
            return
        found = self._monitor.take_checks(outcome)
        if state.is_world_process_zero:
            _write(args.output_dir, CHECKS_FILE, self._monitor.checked)
        for finding in found:
            self._act(finding, state, control)

    def _act(self, finding: Finding, state: TrainerState, control: TrainerControl) -> None:
        decision = self.policy.decide(finding)
        if state.is_world_process_zero:
            self._tell(finding)
        if decision.stop_and_raise:
            raise UnhealthyRunError(tell(finding, self.settings.lang))
        if decision.stop:
            control.should_training_stop = True
            self._stopped_by = self._stopped_by or finding

    def _tell(self, finding: Finding) -> None:
        active = finding.resolved_step is None and finding.consequence_of is None
        level = _LEVELS[finding.severity] if active else logging.INFO
        _say(level, tell(finding, self.settings.lang))

    def _stop_text(self, args: TrainingArguments, state: TrainerState, cause: Finding) -> str:
        """Name the step of the stop, the best evaluation and the checkpoint to go back to."""
        target = cause.evidence.get("last_good_step")
        best = self._monitor.signals.best_evaluation()
        if target is None and best is not None:
            target = best[1].step
        saved = checkpoints(args.output_dir or "")
        if cause.code == "SFT106":
            saved = [step for step in saved if isinstance(target, int) and step <= target]
        goal = target if isinstance(target, int) else cause.onset_step
        nearest = min(saved, key=lambda step: abs(step - goal), default=None)
        return stop_line(
            cause, state.global_step, state.max_steps, best, nearest, self.settings.lang
        )


def attach(
    trainer: Any, stop_on: Trigger = None, raise_on: Trigger = None, **options: Any
) -> DiagnosticsCallback:
    """Add a :class:`DiagnosticsCallback` that also knows what only the trainer knows.

    Args:
        trainer: a transformers or TRL trainer, before ``train()``.
        stop_on: see :class:`DiagnosticsCallback`.
        raise_on: see :class:`DiagnosticsCallback`.
        options: its other arguments.

    Returns:
        The callback; ``callback.report`` is the diagnosis.

    Raises:
        ConfigError: the trainer has one already, or an option is wrong.
    """
    present = trainer.callback_handler.callbacks
    if any(isinstance(callback, DiagnosticsCallback) for callback in present):
        raise ConfigError("this trainer has a DiagnosticsCallback already")
    callback = DiagnosticsCallback(stop_on, raise_on, **options)
    callback.known = trainer_context.from_trainer(trainer)
    callback.checks = RunChecks(callback.settings, trainer)
    if callback.prober is not None:
        callback.prober.trainer = trainer
    trainer.add_callback(callback)
    return callback


def _prober(settings: Probes | None) -> Prober | None:
    if settings is None:
        return None
    # torch loads only for a run whose model is asked.
    from sftdiag.integrations.probing import Prober

    return Prober(settings)


def _say(level: int, text: str, *, always: bool = False) -> None:
    """Log a line; where logging is not configured, write what matters beside the progress bar."""
    if logger.hasHandlers():
        logger.log(level, text)
    elif always or level >= logging.WARNING:
        from tqdm import tqdm

        tqdm.write(f"sftdiag: {text}", file=sys.stderr)


def _write(output_dir: str | None, name: tuple[str, str], value: Value) -> None:
    """Keep what is known of the run beside its log, so that a later analyze knows it too."""
    if not output_dir:
        return
    path = os.path.join(output_dir, *name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value.to_dict(), file, indent=2)
    except OSError as error:
        _say(logging.WARNING, f"{path} cannot be written ({error.strerror}); the run goes on")


def _write_probes(
    output_dir: str | None, rows: Sequence[probe_rows.Row], *, afresh: bool = False
) -> None:
    if not output_dir:
        return
    try:
        probe_rows.write(output_dir, rows, afresh=afresh)
    except OSError as error:
        _say(logging.WARNING, f"the probes' rows cannot be written ({error.strerror})")
