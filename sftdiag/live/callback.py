"""DiagnosticsCallback and attach: sftdiag inside transformers' Trainer and TRL's trainers.

The rules that keep the run unharmed: decisions come from ``logs``, which are the same on every
rank, and are made on every rank alike; input and output happen on world rank 0 only; nothing of the
run is changed, neither its logs nor its state, mode, RNG or batches; a part of sftdiag that fails
is said once and switched off.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sftdiag.api import Selectors, make_settings, project_settings
from sftdiag.config import Trigger
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError, UnhealthyRunError
from sftdiag.faults import Faults, say
from sftdiag.findings import Report
from sftdiag.live.adapter import AdapterLook
from sftdiag.live.ranks import agreed
from sftdiag.live.resume import Past, past
from sftdiag.live.smoke import SmokeWatch
from sftdiag.live.watch import Watch
from sftdiag.monitor import Monitor
from sftdiag.outlets.fan_out import Outlets
from sftdiag.outlets.webhook import Webhook
from sftdiag.policy import Policy
from sftdiag.probes.settings import Probes
from sftdiag.report.one_line import tell
from sftdiag.rows.preflight import RunChecks, guarded_report
from sftdiag.sources import probes as probe_rows
from sftdiag.sources.journal import Segment
from sftdiag.trainer import context as trainer_context
from sftdiag.trainer.fingerprint import fingerprint

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'sftdiag[trainer]'") from error

if TYPE_CHECKING:
    from sftdiag.probing.prober import Prober

_Event = TypeVar("_Event", bound=Callable[..., None])


def _unharmed(event: _Event) -> _Event:
    """Keep a fault of an event from the run: log it once and switch that event off."""

    @functools.wraps(event)
    def wrapper(self: DiagnosticsCallback, *args: Any, **kwargs: Any) -> None:
        if not self.enabled:
            return
        try:
            self._faults.run(event.__name__, lambda: event(self, *args, **kwargs), None)
        except UnhealthyRunError:
            self._watch = None
            raise

    return cast("_Event", wrapper)


class DiagnosticsCallback(TrainerCallback):
    """Diagnoses a run while it trains; warns through ``logging`` and never stops it unasked.

    What it finds also goes to ``output_dir/_sftdiag/findings.jsonl`` as it happens and, as alerts,
    to the trackers in ``report_to`` that take them and to the webhook.

    What is not given (None) of ``stop_on`` to ``save_on_stop`` and ``lang`` comes from the nearest
    ``sftdiag.toml`` or ``[tool.sftdiag]`` of ``pyproject.toml``, from the working folder upwards.

    Args:
        stop_on: stop training when such a finding fires or rises: a severity, codes and names
            (from warning on), or a mapping of codes and names to the severity from which each
            acts, such as ``{"SFT201": "info"}``; ``()`` for nothing. The run ends as with early
            stopping.
        raise_on: likewise, but raise :class:`~sftdiag.UnhealthyRunError` on every rank.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        grace_steps: before this step nothing stops or raises; what is still there then does.
        save_on_stop: save a checkpoint at a stop. Never for SFT104, SFT106, SFT201 and an error of
            SFT102, whose weights are worse than older ones, with ``save_strategy="no"``, or where
            ``save_total_limit`` would then delete the checkpoint nearest the best evaluation.
        webhook: address to send alerts to: Slack's, Discord's, or any that takes JSON. Default:
            the environment's ``SFTDIAG_WEBHOOK``. It is never logged.
        lang: ``"en"`` or ``"zh"``.
        probes: True, codes and names, or :class:`~sftdiag.Probes`: ask the model itself for
            repetition, forgetting and unnatural replies, before training and at every evaluation.
        smoke_steps: after so many steps say go or no-go: from the labels, the template and whether
            gradients arrive; and whether the learning rate has reached its peak yet.
        enabled: False turns everything off, as does the environment's ``SFTDIAG_DISABLE=1``.

    Raises:
        ConfigError: a code, name, severity, language or address does not exist, here or in the
            file.
    """

    def __init__(
        self,
        stop_on: Trigger = None,
        raise_on: Trigger = None,
        *,
        select: Selectors = None,
        ignore: Selectors = None,
        grace_steps: int | None = None,
        save_on_stop: bool | None = None,
        webhook: str | None = None,
        lang: str | None = None,
        probes: Any = None,
        smoke_steps: int | None = None,
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled and os.environ.get("SFTDIAG_DISABLE", "") in ("", "0")
        self.settings = make_settings(
            project_settings() if self.enabled else None,
            select=select,
            ignore=ignore,
            lang=lang,
            stop_on=stop_on,
            raise_on=raise_on,
            grace_steps=grace_steps,
            save_on_stop=save_on_stop,
        )
        self.policy = Policy.of(self.settings)
        address = webhook or os.environ.get("SFTDIAG_WEBHOOK")
        self.webhook = Webhook(address) if address else None
        self.known = RunContext()
        self.checks = RunChecks(self.settings)
        self.prober = _prober(Probes.parse(probes))
        self.smoke = SmokeWatch(smoke_steps, self.settings.lang)
        self._adapter = AdapterLook()
        self._faults = Faults()
        self._monitor = Monitor(settings=self.settings)
        self._watch: Watch | None = None

    @property
    def report(self) -> Report:
        """The diagnosis so far; valid at any time, also before and after training."""
        return self._monitor.report()

    def _repr_html_(self) -> str:
        """Show the diagnosis so far in a notebook."""
        return self.report._repr_html_()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh; on a resume rebuild the detectors' state from the restored log."""
        self._faults = Faults(logging.ERROR if state.is_world_process_zero else logging.DEBUG)
        self._begin(args, state, control, **kwargs)

    @_unharmed
    def _begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._watch = None
        self.smoke.begin(state.global_step)
        self._adapter.begin(state.global_step)
        read = self._faults.run
        known = read(
            "the context",
            lambda: trainer_context.from_callback(args, state, kwargs),
            RunContext(),
        )
        context = self.known.filled_from(known)
        alone = Past(Segment(state.global_step, context))
        before = read("the resume", lambda: past(args, state, context), alone)
        mine, first = (self.policy, self.settings), state.is_world_process_zero
        self.policy, self.settings = read("the settings", lambda: agreed(*mine, first), mine)
        self._monitor = Monitor(before.start.context, self.settings, on_fault=self._faults.failed)
        self._monitor.take_checks(before.checked)
        rows = probe_rows.merged(state.log_history, before.probe_rows)
        self._monitor.replay(rows, before.parts)
        outlets = None
        if state.is_world_process_zero:
            outlets = Outlets(args, self.settings.lang, self.webhook, self._faults)
            outlets.start(before.start, state.trial_name)
            outlets.keep_probe_rows(before.probe_rows, afresh=True)
        watch = Watch(self._monitor, self.policy, args, state, before.checkpoints, outlets)
        self._watch = watch
        watch.learn(before.start.context, control)
        checked = read("the checks", lambda: self.checks.at_start(args, state, kwargs), None)
        asked = self.prober
        new = asked.begin(args, state, kwargs, before.probe_rows) if asked is not None else []
        watch.take(checked, new, control)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look once whether gradients arrive, where a smoke test was asked for."""
        if self.smoke.waiting:
            self._look(state, kwargs.get("model"))

    @_unharmed
    def _look(self, state: TrainerState, model: Any) -> None:
        self.smoke.look(state.global_step, model)

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
        if self._watch is None or not logs:
            return
        step, model = state.global_step, kwargs.get("model")
        seen = self._faults.run("the adapter", lambda: self._adapter.look(step, model), None)
        if seen is not None:
            self._watch.learn(seen, control)
        self._watch.feed({**logs, "step": step}, control)
        if self.smoke.due(state.global_step, logs):
            self.smoke.judge(logs, self.report, self._monitor.signals.context, state)
        if "train_runtime" in logs and "loss" not in logs:
            # The trackers' runs are still open now, and may be closed at on_train_end.
            self._watch.conclude()

    @_unharmed
    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check an evaluation set's rows once, and ask the model, where that was asked for."""
        watch = self._watch
        if watch is None:
            return
        checked = self._faults.run(
            "the checks", lambda: self.checks.at_evaluation(args, state, kwargs), None
        )
        rows = self.prober.evaluate(args, state, kwargs) if self.prober is not None else []
        # A fault of one rank in here must not keep it from asking with the others next time.
        self._faults.run("an evaluation", lambda: watch.take(checked, rows, control), None)

    @_unharmed
    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow which checkpoints there are."""
        if self._watch is not None:
            self._watch.saved()

    @_unharmed
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say the verdict, unless that is done, and wait a moment for what is under way."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.conclude()


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
    rows = fingerprint(trainer.eval_dataset) if callback.enabled else None
    callback.known = trainer_context.from_trainer(trainer).replace(eval_fingerprint=rows)
    callback.checks = RunChecks(callback.settings, trainer)
    if callback.prober is not None:
        callback.prober.trainer = trainer
    trainer.add_callback(callback)
    if callback.enabled and callback.known.train_samples == 0 and trainer.is_world_process_zero():
        # train() fails before on_train_begin: what the checks know is told now or never.
        for finding in guarded_report(trainer, callback.settings).at_least("error"):
            say(logging.ERROR, tell(finding, callback.settings.lang))
    return callback


def _prober(settings: Probes | None) -> Prober | None:
    if settings is None:
        return None
    # torch loads only for a run whose model is asked.
    from sftdiag.probing.prober import Prober

    return Prober(settings)
