"""DiagnosticsCallback: sftdiag inside transformers' Trainer and TRL's trainers.

The rules that keep the run unharmed: decisions come from ``logs``, which are the same on every
rank, and from what the ranks told each other, and are made on every rank alike; input and output
happen on world rank 0 only; nothing of the
run is changed, neither its logs nor its state, mode, RNG or batches; a part of sftdiag that fails
is said once and switched off.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from sftdiag import texts
from sftdiag.api import Selectors, make_settings, project_settings
from sftdiag.config import Trigger, is_enabled
from sftdiag.context import RunContext
from sftdiag.faults import Faults, say
from sftdiag.findings import Report
from sftdiag.live.adapter import AdapterLook
from sftdiag.live.agreement import Agreement, Start, Word, joined
from sftdiag.live.made_step import Taken
from sftdiag.live.ranks import Ranks
from sftdiag.live.resume import Past, opened, past, resumed
from sftdiag.live.smoke_watch import SmokeWatch
from sftdiag.live.step_events import StepEvents, TrainerControl, TrainerState, TrainingArguments
from sftdiag.live.unharmed import unharmed
from sftdiag.live.watch import Watch
from sftdiag.monitor import Monitor
from sftdiag.outlets.webhook import Webhook
from sftdiag.policy import Policy
from sftdiag.probes.settings import Probes
from sftdiag.probing import prober_of
from sftdiag.report.answers import AnsweredReport
from sftdiag.rows.preflight import Ask, RunChecks
from sftdiag.sources.journal import Segment
from sftdiag.trainer import context as trainer_context
from sftdiag.trainer.saves import say_where_it_breaks


class DiagnosticsCallback(StepEvents):
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
            ``save_total_limit`` would then delete the checkpoint to go back to. The trainer's own
            save at a stop is held back where it would.
        webhook: address to send alerts to: Slack's, Discord's, or any that takes JSON. Default:
            the environment's ``SFTDIAG_WEBHOOK``. It is never logged.
        train_on_prompt: the prompt is trained on purpose.
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
        train_on_prompt: bool | None = None,
        lang: str | None = None,
        probes: Any = None,
        smoke_steps: int | None = None,
        enabled: bool = True,
    ) -> None:
        self.enabled = is_enabled(enabled)
        self.settings = make_settings(
            project_settings() if self.enabled else None,
            select=select,
            ignore=ignore,
            lang=lang,
            train_on_prompt=train_on_prompt,
            stop_on=stop_on,
            raise_on=raise_on,
            grace_steps=grace_steps,
            save_on_stop=save_on_stop,
        )
        self.policy = Policy.of(self.settings)
        self.webhook = Webhook.of(webhook)
        self.known = RunContext()
        self.checks = RunChecks(self.settings)
        self.prober = prober_of(Probes.parse(probes))
        self.smoke = SmokeWatch(smoke_steps, self.settings.lang)
        self._adapter = AdapterLook()
        self._faults = Faults()
        self._monitor = Monitor(settings=self.settings)
        self._watch: Watch | None = None
        self._agreement = Agreement(Ranks())
        self._word = Word()
        self._logged = 0

    @property
    def report(self) -> Report:
        """The diagnosis so far; valid at any time, also before and after training.

        With probes, its ``show()`` also prints what the model says to some prompts.
        """
        report = self._caught_up().report()
        answers = self.prober.told.answers if self.prober is not None else None
        return AnsweredReport(**vars(report), answers=answers) if answers else report

    def _repr_html_(self) -> str:
        """Show the diagnosis so far in a notebook."""
        return self.report._repr_html_()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh; on a resume rebuild the detectors' state from the restored log."""
        self._faults = Faults(logging.ERROR if state.is_world_process_zero else logging.DEBUG)
        self._begin(args, state, control, **kwargs)

    @unharmed
    def _begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._watch = None
        self._faults.run("the trainer", partial(self._forget_another, state), None)
        self.smoke.begin(state.global_step)
        self._adapter.begin(state.global_step)
        read, seen = self._faults.run, partial(trainer_context.from_callback, args, state, kwargs)
        known = read("the context", seen, RunContext())
        context = self.known.filled_from(known)
        without = Ranks(args.process_index, args.world_size)
        ranks = read("the ranks", partial(Ranks.of, args), without)
        self._agreement = Agreement(ranks)
        read("the ranks", ranks.announce, None)
        before = Past(Segment(state.global_step, context))
        if ranks.first:
            before = read("the resume", lambda: past(args, state, context), before)
        self._logged = len(state.log_history)
        self._monitor = resumed(before, state.log_history, self.settings, self._faults)
        outlets = None
        if state.is_world_process_zero:
            lang, faults = self.settings.lang, self._faults
            outlets = opened(before, args, state, lang, self.webhook, faults)
            read("the saves", partial(say_where_it_breaks, args, state, self.settings.lang), None)
        watch = Watch(self._monitor, self.policy, args, state, before.checkpoints, outlets)
        watch.waiting = not ranks.alone
        if not ranks.alone:
            watch.agree = partial(self._agreed, watch, state, control)
        self._watch = watch
        self._begin_steps(watch, state, kwargs.get("train_dataloader"))
        watch.learn(before.start.context, control)
        asked = self.prober if ranks.first else None
        ask: Ask | None = None
        if asked is not None and ranks.alone:
            gains = partial(asked.gains, args, state, kwargs)
            ask = lambda splits: read("the probes", partial(gains, splits), {})  # noqa: E731
        checked = read("the checks", lambda: self.checks.at_start(args, state, kwargs, ask), None)
        if asked is not None and self.checks.lacks_embeddings:
            new = asked.give_up(state, "lacks_embeddings")
        else:
            new = asked.begin(args, state, kwargs, before.probe_rows) if asked is not None else []
        watch.take(checked, new, control)
        start = Start.of(self.policy, self.settings, before) if ranks.first else None
        parts = (part.longest for part in (asked, self.checks) if part is not None)
        seconds = tuple(longest for longest in parts if longest is not None)
        shown = self.settings.train_on_prompt
        self._word = Word(checked, shown, seconds, start, tuple(new), self.sees_steps)

    def _forget_another(self, state: TrainerState) -> None:
        """Let go of the trainer that this was attached to, where it is another one that trains."""
        if self.steps is None or getattr(self.steps.trainer, "state", state) is state:
            return
        self._end_steps()
        self.steps = self.guard = None
        self.known, self.checks = RunContext(), RunChecks(self.settings)
        if self.prober is not None:
            self.prober.trainer = None
        if state.is_world_process_zero:
            words = texts.load(__file__, "callback", self.settings.lang)
            say(logging.WARNING, words["other_trainer"])

    @unharmed
    def _meet(
        self, watch: Watch, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        """Take what all ranks said, go by what rank 0 starts with, and act from now on."""
        mine, agreement = self._word, self._agreement
        watch.passive = True
        try:
            meet = partial(agreement.meet, mine, args.device)
            words = self._faults.run("the ranks", meet, list[Word]())
            start = words[0].start if words else None
            if start is None:
                self._give_up(watch, state, control)
                return
            rows = () if agreement.ranks.first else words[0].rows
            if not agreement.ranks.first:
                log = state.log_history[: self._logged]
                self.policy, self.settings = start.policy, start.settings(self.settings)
                self._monitor = resumed(start.past, log, self.settings, self._faults)
                watch.adopt(self._monitor, self.policy, start.past.checkpoints)
            watch.take(joined(words), rows, control)
            watch.passive = False
            if self.steps is not None:
                self.steps.shared = all(word.steps for word in words)
        finally:
            watch.release(control)

    def _agreed(
        self, watch: Watch, state: TrainerState, control: TrainerControl, action: str
    ) -> bool:
        """Return whether all ranks are about to do the same; else none of them acts any more."""
        agree = partial(self._agreement.at_action, action)
        if self._faults.run("the ranks", agree, False):
            return True
        self._give_up(watch, state, control)
        return False

    def _give_up(self, watch: Watch, state: TrainerState, control: TrainerControl) -> None:
        """Act on nothing from now on, since a rank is missing, and say so."""
        watch.passive = True
        wanted = self.policy.acts or self.prober is not None
        self._agreement.say_who_is_missing(self.settings.lang, wanted=wanted)
        if self.prober is not None:
            watch.take(None, self.prober.give_up(state, "rank_missing"), control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Feed the row to the monitor and act on what it changed, on every rank alike."""
        watch = self._watch
        if self.enabled and watch is not None and logs:
            steps = self._steps_since(logs)
            self._row(watch, state, control, logs, steps, kwargs.get("model"))

    @unharmed
    def _row(
        self,
        watch: Watch,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any],
        steps: Taken,
        model: Any,
    ) -> None:
        step = state.global_step
        if self._adapter.due(step):
            seen = self._faults.run("the adapter", partial(self._adapter.look, step, model), None)
            if seen is not None:
                watch.learn(seen, control)
        self._feed(watch, {**logs, "step": step}, steps, control)
        if self.smoke.due(step, logs, steps):
            self.smoke.judge(logs, self.report, self._monitor.signals.context, state)
        if "train_runtime" in logs and "loss" not in logs:
            # The trackers' runs are still open now, and may be closed at on_train_end.
            watch.conclude()

    @unharmed
    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check an evaluation set's rows once, and ask the model, where that was asked for."""
        watch, agreement = self._watch, self._agreement
        if watch is None:
            return
        self._evaluated(state, kwargs.get("metrics"))
        if watch.waiting:
            self._meet(watch, args, state, control)
        checked = self._faults.run(
            "the checks", lambda: self.checks.at_evaluation(args, state, kwargs), None
        )
        asked = self.prober if agreement.ranks.first else None
        rows = asked.evaluate(args, state, kwargs) if asked is not None else []
        mine = Word(checked, self.settings.train_on_prompt, rows=tuple(rows))
        words = [mine]
        if not watch.passive:
            # A fault of one rank in what is around must not keep it from the others next time.
            words = self._faults.run("the ranks", partial(agreement.at_evaluation, mine), [])
            if not words:
                self._give_up(watch, state, control)
                words = [mine]
        take = partial(watch.take, joined(words), words[0].rows, control)
        self._faults.run("an evaluation", take, None)

    @unharmed
    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow which checkpoints there are."""
        self._paused(state)
        if self._watch is not None:
            self._watch.saved()

    @unharmed
    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep a stop, which ends the epoch, from costing the checkpoint to go back to."""
        if self._watch is not None:
            self._watch.spare_checkpoints(control)

    @unharmed
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say the verdict, unless that is done, and wait a moment for what is under way."""
        if self._watch is not None:
            self._watch.conclude()
            self._tell_rows(self._watch)
        self._over()

    def _over(self) -> None:
        self._end_steps()
        if self._watch is not None:
            self._watch = None
            self._faults.run("the ranks", self._agreement.ranks.leave, None)
