"""What the callback does at every step, where :func:`sftdiag.attach` has given it the trainer."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sftdiag import texts
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.faults import Faults
from sftdiag.findings import Finding, StepRows
from sftdiag.live import row_losses
from sftdiag.live.agreement import Agreement
from sftdiag.live.bad_steps import Guard
from sftdiag.live.guard import GuardedSteps
from sftdiag.live.later import Aside
from sftdiag.live.made_step import NO_STEPS, Taken
from sftdiag.live.smoke_watch import SmokeWatch
from sftdiag.live.step_signals import StepSignals
from sftdiag.live.unharmed import unharmed
from sftdiag.live.watch import Watch
from sftdiag.live.watchdog import Watchdog
from sftdiag.monitor import Monitor
from sftdiag.report import rows
from sftdiag.sources.every_step import Merger

try:
    from transformers import TrainerCallback as TrainerCallback
    from transformers import TrainerControl as TrainerControl
    from transformers import TrainerState as TrainerState
    from transformers import TrainingArguments as TrainingArguments
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'sftdiag[trainer]'") from error

PART = "the steps"
"""Its name among the parts that are switched off where they fail."""

WATCHING = ("_begin", "_row")
"""Events without which no row of the log is seen."""


class StepEvents(TrainerCallback):
    """The events of single steps, and what they make of a log row.

    Attributes:
        steps: what is seen of each step; None without the trainer.
        guard: what may be kept out of the weights; None for nothing.
    """

    enabled: bool
    steps: StepSignals | None = None
    guard: Guard | None = None
    _guarded: GuardedSteps | None = None
    _watchdog: Watchdog | None = None
    smoke: SmokeWatch
    _at_exit: Callable[[], None] | None = None
    _faults: Faults
    _watch: Watch | None
    _agreement: Agreement
    _monitor: Monitor

    def _begin_steps(self, watch: Watch, state: TrainerState, loader: Any) -> None:
        """Follow the trainer from now on."""
        self._end_steps()
        watch.merger, self._guarded = Merger(state.log_history), None
        if self.steps is not None:
            begin = partial(self._follow_steps, watch, self.steps, loader, state.global_step)
            self._faults.run(PART, begin, None)
            watch.look_up = partial(self._rows_of, watch, self.steps)
            if self.guard is not None:
                self._guarded = GuardedSteps(self.guard, self.steps, self._monitor.settings.lang)
                self._faults.run("the guard", self._guarded.begin, None)

        if self._guarded is not None or self.smoke.waiting:
            # The event of its name, of the runs that need it: others are not kept at every step.
            vars(self)["on_pre_optimizer_step"] = self._before_step
        self._watchdog = None
        if self.steps is not None:
            dog = Watchdog(
                watch.stands_still, leave=self._leave, watches=partial(self._is_in, self.steps)
            )
            self._watchdog = dog
            failed = partial(self._faults.failed, PART)
            event = partial(self.steps.step_end, dog, failed, self._step_done)
            if (on_step_end := self._faults.run(PART, event, None)) is not None:
                # Of few calls: behind a step each of them is a cold one.
                vars(self)["on_step_end"] = on_step_end
            if state.is_world_process_zero:
                dog.begin()
            # Of a run that an error ends, no event says so.
            self._at_exit = watch.keep_what_waits
            atexit.register(self._at_exit)

    def _follow_steps(self, watch: Watch, signals: StepSignals, loader: Any, step: int) -> None:
        aside = Aside(lambda action: self._faults.run("_row", action, None))
        signals.begin(loader, step, aside, ahead=self.guard is not None)
        if signals.device_computes_on:
            watch.aside = aside

    def _beat(self, state: TrainerState) -> None:
        """Note a sign of life."""
        if self._watchdog is not None:
            over = self._watchdog.beat(state.global_step)
            if over is not None and self._watch is not None:
                self._watch.goes_on(over)

    @unharmed
    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that an evaluation goes on."""
        self._beat(state)

    def _rows_of(
        self, watch: Watch, signals: StepSignals, steps: Sequence[int]
    ) -> Sequence[StepRows]:
        """Return the rows of steps, on every rank alike."""
        mine = self._faults.run(PART, partial(signals.rows_of, steps), list[StepRows]())
        if self._agreement.ranks.alone or watch.passive:
            return mine
        return self._faults.run("the ranks", partial(self._agreement.at_rows, mine), mine)

    @property
    def sees_steps(self) -> bool:
        """Whether each step is seen, as far as is known."""
        return self.steps is not None and self.steps.off is None and PART not in self._faults.off

    def _before_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Have the guard look; and once whether gradients arrive, where a smoke test is wanted."""
        guard = self._guarded
        if guard is not None:
            trained = self.steps.trainer.model_wrapped if self.steps is not None else None
            look = partial(guard.before_step, state.global_step, trained, kwargs.get("optimizer"))
            self._faults.run("the guard", look, None, always=True)
            if guard.stopped:
                # A log row tells why before the trainer looks whether it is to go on.
                control.should_training_stop = control.should_log = True
        if self.smoke.waiting:
            look = partial(self.smoke.look, state.global_step, kwargs.get("model"))
            self._faults.run("the smoke test", look, None)

    @unharmed
    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that the trainer begins to read its rows anew."""
        if self.steps is not None:
            self.steps.epoch_begins()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that the step is done."""
        self._step_done(args, state, control)

    def _step_done(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        """See whether the step took unusually long, and have the ranks meet.

        They do so once: by the end of a step each has begun it.
        """
        watch = self._watch
        if not self.enabled:
            return
        if self._watchdog is not None:
            self._faults.run("the watchdog", partial(self._beat, state), None, always=True)
        if watch is not None and watch.waiting:
            self._meet(watch, args, state, control)

    def _meet(
        self, watch: Watch, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        raise NotImplementedError

    def _broken(self, part: str) -> None:
        """Let the report say what is no longer seen, and the other ranks that this one is lost."""
        if part in WATCHING:
            self._monitor.lose_sight(self._faults.last)
        ranks = self._agreement.ranks
        if not ranks.alone:
            if self.steps is not None:
                self.steps.broke()
            tell = partial(ranks.fail, self._faults.last)
            self._faults.run("the ranks", tell, None, always=True)

    def _steps_since(self, row: Mapping[str, Any]) -> Taken:
        """Return the steps since the last row of the log: every rank comes here at each row."""
        if self.steps is None:
            return NO_STEPS
        take = partial(self.steps.take, row.get("loss"))
        return self._faults.run(PART, take, NO_STEPS, always=True)

    def _feed(self, watch: Watch, row: Mapping[str, Any], steps: Taken, control: Any) -> None:
        """Feed a row of the log, and before it the steps since the last one, as they are kept."""
        signals = self.steps
        if signals is None:
            watch.feed([row], control)
            return
        if signals.off is not None and watch.monitor.signals.context.step_signals is None:
            watch.learn(RunContext(step_signals=signals.off), control)
        if watch.feed_steps(steps, row, control):
            self._faults.run("the rows", watch.find_rows, None)
        if self._guarded is not None and self._guarded.stopped:
            watch.stopped_by("SFT113")

    def _evaluated(self, state: TrainerState, metrics: Mapping[str, Any] | None) -> None:
        """Note that what comes next is no step, and what the evaluation said for the guard."""
        self._paused(state)
        if self._guarded is not None:
            keep = partial(self._guarded.evaluated, metrics, state.global_step)
            self._faults.run("the guard", keep, None)

    def _paused(self, state: TrainerState) -> None:
        self._beat(state)
        if self.steps is not None:
            self.steps.paused()

    def _caught_up(self) -> Monitor:
        """Return the monitor once it has seen all that was logged."""
        if self._watch is not None:
            self._watch.catch_up()
        return self._monitor

    def rows(self, finding: Finding | str) -> None:
        """Print the training rows behind a finding, the most surprising to the model first.

        Their text stands on the terminal only. For SFT105, SFT106 and SFT113, of the last steps
        before they were seen; the losses are those of the model as it is now, or was at the end.

        Args:
            finding: it, or its id, such as ``"SFT105@120"``.

        Raises:
            ConfigError: the run has no such finding.
        """
        wanted = finding if isinstance(finding, str) else finding.id
        monitor = self._caught_up()
        words = texts.load(rows.__file__, "rows", monitor.settings.lang)
        known = monitor.report().findings
        if all(each.id != wanted for each in known):
            ids = ", ".join(each.id for each in known) or words["nothing"]
            raise ConfigError(words["unknown"].format(id=wanted, ids=ids))
        self._measure_rows()
        found = next(each for each in monitor.report().findings if each.id == wanted)
        for line in rows.with_text(found, self._text_of, monitor.settings.lang):
            sys.stdout.write(f"{line}\n")

    def _text_of(self, step: StepRows, row: int) -> str | None:
        """Return a row's text as its tokens say it."""
        trainer: Any = self.steps.trainer if self.steps is not None else None
        data: Any = getattr(trainer, "train_dataset", None)
        if step.stream or not hasattr(data, "__getitem__"):
            return None
        held = data[row]
        decode = getattr(trainer.processing_class, "decode", None)
        if decode is None or not isinstance(held, Mapping) or "input_ids" not in held:
            return str(held)
        return str(decode(held["input_ids"]))

    def _measure_rows(self) -> Sequence[StepRows]:
        """Measure the loss of each row behind a finding by the model as it is; return them."""
        if self.steps is None:
            return ()
        findings = self._caught_up().report().findings
        steps = {(each.step, each.rank): each for found in findings for each in found.rows}
        if all(each.losses is not None for each in steps.values()):
            return ()
        trainer = self.steps.trainer
        loader = trainer.callback_handler.train_dataloader
        measured = row_losses.with_losses(trainer, loader, list(steps.values()))
        self._monitor.take_rows(measured)
        return measured

    def _is_in(self, signals: StepSignals) -> bool:
        return any(each is self for each in signals.trainer.callback_handler.callbacks)

    def _end_steps(self) -> None:
        if self._watchdog is not None:
            self._watchdog.end()
            self._watchdog = None
        self._leave()
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
            self._at_exit = None

    def _leave(self) -> None:
        """Leave the trainer, its optimizer and its rows as they were."""
        for event in ("on_pre_optimizer_step", "on_step_end"):
            vars(self).pop(event, None)
        if self.steps is not None:
            self.steps.end()

    def _tell_rows(self, watch: Watch) -> None:
        """Measure the rows behind findings once the run is over, where this rank keeps files."""
        if self._agreement.ranks.first:
            watch.take_rows(self._faults.run("the rows", self._measure_rows, ()))
