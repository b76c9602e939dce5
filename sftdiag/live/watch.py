"""Watch: one ``train()`` under watch on one rank; what is fed, told and done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import Any

from sftdiag.context import RunContext
from sftdiag.errors import UnhealthyRunError
from sftdiag.findings import Finding, StepRows
from sftdiag.live.later import Aside, Later
from sftdiag.live.made_step import Taken
from sftdiag.live.stopping import ROTATION, Checkpoints, Stop, hindrance, saving_loses, stop_text
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.outlets.fan_out import Outlets
from sftdiag.policy import Policy
from sftdiag.report.one_line import tell
from sftdiag.signals.rows import Lines
from sftdiag.sources import CHECKS_FILE, CONTEXT_FILE, probes
from sftdiag.sources.every_step import Merger


class Watch:
    """Decides on every rank alike; tells on the rank that has outlets.

    Args:
        monitor: has taken in what is already known of the run.
        policy: what to do about a finding.
        args: the run's TrainingArguments, or what stands for them (:mod:`sftdiag.live.loop`).
        state: its TrainerState, likewise.
        checkpoints: those in the run's folder.
        outlets: where to tell; None on the other ranks.

    Attributes:
        waiting: the ranks have not met yet: rows are kept, and nothing is acted on.
        passive: nothing is ever acted on, since a rank is missing.
        agree: returns whether all ranks are about to do the same; None where there is one rank.
        merger: puts steps in the place of the log rows that are their means.
        look_up: returns the rows of steps on all ranks; None where rows are not followed.
        aside: takes what nobody waits for; None where there is no better time for it than now.
    """

    def __init__(
        self,
        monitor: Monitor,
        policy: Policy,
        args: Any,
        state: Any,
        checkpoints: Iterable[int],
        outlets: Outlets | None,
    ) -> None:
        self.monitor = monitor
        self.stop: Stop | None = None
        self.waiting = False
        self.passive = False
        self.agree: Callable[[str], bool] | None = None
        self.look_up: Callable[[Sequence[int]], Sequence[StepRows]] | None = None
        self.merger = Merger()
        self.aside: Aside | None = None
        self._later, self._thread = Later(), get_ident()
        self._logged: list[Mapping[str, Any]] = []
        self._steps: list[Taken] = []
        self._asked: set[int] = set()
        self._stalls: list[Mapping[str, Any]] = []
        self._rows: list[Mapping[str, Any]] = []
        self._policy, self._acts = policy, policy.acts
        self._args = args
        self._state = state
        self._follow(checkpoints)
        self._outlets = outlets
        self._held: set[str] = set()
        self._concluded = False

    def feed(self, rows: Sequence[Mapping[str, Any]], control: Any) -> None:
        """Take in the next rows of the log, each in a dict of its own; stop by ``control``."""
        if self._outlets is not None:
            self._outlets.keep_log_rows(rows)
        if self.waiting:
            self._rows += rows
        else:
            self._judge(rows, control)

    def feed_steps(self, steps: Taken, row: Mapping[str, Any], control: Any) -> bool:
        """Take in the next row of the log; return whether it was judged, and does not wait.

        Args:
            steps: those since the last row, for whose mean it stands, where they are kept apart.
            row: of the log.
            control: the trainer's, in which a stop is asked for.
        """
        # What acts does so at once, and all ranks at the same row.
        alone = self.agree is None and not self.waiting
        if alone and not self._acts and self._later.is_usual(steps, row):
            if self.aside is None:
                return not self._waits(steps, row)
            self.aside.actions.append(partial(self._take_usual, steps, row))
            return False
        self._later.judged()
        self._take_steps(steps, row, control)
        return True

    def _take_usual(self, steps: Taken, row: Mapping[str, Any]) -> None:
        if not self._waits(steps, row):
            self.find_rows()

    def _waits(self, steps: Taken, row: Mapping[str, Any]) -> bool:
        """Have a usual row wait with others, or judge them all, if it is time to."""
        if not self._later.takes(steps, row):
            self._take_steps(steps, row, None)
            return False
        self._note(steps, row)
        if self._later.keeps():
            self.keep_what_waits()
        return True

    def _note(self, steps: Taken, row: Mapping[str, Any]) -> None:
        self._logged.append(row)
        self._steps.append(steps)

    def _take_steps(self, steps: Taken, row: Mapping[str, Any], control: Any) -> None:
        """Judge a row of the log by its steps, after those that wait."""
        self.catch_up()
        self._note(steps, row)
        self._keep_logged()
        rows = self.merger.kept(steps.rows, row)
        if self.waiting:
            self._rows += rows
        else:
            self._judge(rows, control)

    def catch_up(self) -> None:
        """Judge the rows that wait; from another thread nothing, in the middle of a step."""
        if get_ident() != self._thread:
            return
        self._do_aside()
        if waiting := self._later.rest():
            self._keep_logged()
            for steps, row in waiting:
                self._judge(self.merger.kept(steps, row), None)
            self.find_rows()

    def _do_aside(self) -> None:
        if self.aside is not None:
            self.aside.do()

    def keep_what_waits(self) -> None:
        """Keep the steps that came; of a run that is killed they tell what its log rows said."""
        self._do_aside()
        steps, self._steps = self._steps, []
        self.keep_steps(b"".join(each.rows for each in steps))

    def _keep_logged(self) -> None:
        """Keep the steps and log rows that came."""
        self.keep_what_waits()
        rows, self._logged = self._logged, []
        if self._outlets is not None and rows:
            self._outlets.keep_log_rows(rows)

    def _judge(self, rows: Sequence[Mapping[str, Any]] | Lines, control: Any) -> None:
        for found in self.monitor.feed_entries(rows):
            self._handle(found, control)

    def find_rows(self) -> None:
        """Look up the rows behind what was found, each step's once, on every rank alike."""
        wanted = [step for step in self.monitor.steps_wanted() if step not in self._asked]
        if wanted and self.look_up is not None:
            self._asked.update(wanted)
            self.take_rows(self.look_up(wanted))

    def take_rows(self, rows: Sequence[StepRows]) -> None:
        """Take in which rows steps were made of, and keep it beside the log."""
        self.monitor.take_rows(rows)
        if self._outlets is not None and rows:
            self._outlets.keep_rows(rows)

    def keep_steps(self, steps: bytes) -> None:
        """Keep what single steps were, as rows of their file."""
        if self._outlets is not None and steps:
            self._outlets.keep_steps(steps)

    def adopt(self, monitor: Monitor, policy: Policy, checkpoints: Iterable[int]) -> None:
        """Go by what the first rank starts with."""
        self.monitor, self._policy, self._acts = monitor, policy, policy.acts
        self._follow(checkpoints)

    def release(self, control: Any) -> None:
        """Act from now on, also on what was found before the ranks met."""
        self.waiting = False
        self._handle((), control)
        rows, self._rows = self._rows, []
        self._judge(rows, control)

    def learn(self, known: RunContext, control: Any) -> None:
        """Take in what became known of the run, and keep it beside the log."""
        self.catch_up()
        found = self.monitor.learn(known)
        if self._outlets is not None:
            self._outlets.keep(CONTEXT_FILE, self.monitor.signals.context)
        self._handle(found, control)

    def take(self, outcome: Outcome | None, rows: Sequence[probes.Row], control: Any) -> None:
        """Take in what the checks say and what was measured on the model; keep both."""
        self.catch_up()
        if outcome is not None:
            found = self.monitor.take_checks(outcome)
            if self._outlets is not None:
                self._outlets.keep(CHECKS_FILE, self.monitor.checked)
            self._handle(found, control)
        if self._outlets is not None:
            self._outlets.keep_probe_rows(rows)
        for row in rows:
            self._handle(self.monitor.feed_entry(row), control)

    def stopped_by(self, code: str) -> None:
        """Note that a guard stops the run for what a finding of this code says."""
        self.catch_up()
        found = [each for each in self.monitor.report().findings if each.code == code]
        if found and self.stop is None:
            self.stop = Stop(found[0], None)

    def went_on(self) -> None:
        """Note that the run makes steps after a stop was asked for: then it was none."""
        self.stop = None

    def stands_still(self, row: Mapping[str, Any]) -> None:
        """Tell of a stall, from the watchdog's thread: by a monitor of its own."""
        context, settings = self.monitor.signals.context, self.monitor.settings
        found = Monitor(context, settings).feed_entry(row)
        self._stalls.append(row)
        if self._outlets is not None:
            for finding in found:
                self._outlets.tell(finding, aside=True)

    def goes_on(self, row: Mapping[str, Any]) -> None:
        """Take in that a stall is over, and before it that it was; this rank's clock decides."""
        self.catch_up()
        stalls, self._stalls = self._stalls, []
        found = [f for each in (*stalls, row) for f in self.monitor.feed_entry(each)]
        if self._outlets is not None:
            for finding in found[-1:]:
                self._outlets.tell(finding)

    def saved(self) -> None:
        """Follow the trainer, which has saved a checkpoint."""
        self.catch_up()
        self._checkpoints.add(self._args, self._state)
        self.monitor.take_checkpoints(self._checkpoints.steps)

    def take_checkpoints(self, steps: Iterable[int]) -> None:
        """Take in which checkpoints there are, of a run that tells them itself."""
        self.catch_up()
        self._follow(steps)

    def _follow(self, checkpoints: Iterable[int]) -> None:
        self._checkpoints = Checkpoints(checkpoints)
        self.monitor.take_checkpoints(self._checkpoints.steps)

    def conclude(self) -> None:
        """Tell the verdict once, and of a stop what was saved and where to go back to."""
        self.catch_up()
        for row in self._rows:
            self.monitor.feed_entry(row)
        self._rows = []
        if self._outlets is None or self._concluded:
            return
        self._concluded = True
        planned = self._state.max_steps
        stop = self.stop if planned is None or self._state.global_step < planned else None
        text = stop_text(stop, self.monitor, self._args, self._state) if stop else None
        self._outlets.conclude(self.monitor.report(), text, stop.cause.id if stop else None)
        self._outlets.close()

    def _handle(self, changed: tuple[Finding, ...], control: Any) -> None:
        if not changed and not self._held:
            return
        if self._outlets is not None:
            for finding in changed:
                self._outlets.tell(finding)
        for finding in self._due(changed):
            self._act(finding, control)

    def _due(self, changed: tuple[Finding, ...]) -> Iterable[Finding]:
        """Return the findings to act on now; in the grace period none, at its end those held."""
        if self.waiting or self._state.global_step < self._policy.grace_steps:
            self._held |= {finding.id for finding in changed}
            return ()
        if not self._held:
            return changed
        held, self._held = self._held | {finding.id for finding in changed}, set()
        return [finding for finding in self.monitor.report().findings if finding.id in held]

    def _act(self, finding: Finding, control: Any) -> None:
        if self.passive:
            return
        decision = self._policy.decide(finding)
        raises, stops = decision.stop_and_raise, decision.stop and self.stop is None
        # A rank that has failed does not come here, and would be left alone in the next collective.
        if not (raises or stops):
            return
        if self.agree is not None and not self.agree(f"{finding.id} {raises}"):
            return
        if raises:
            self.conclude()
            raise UnhealthyRunError(tell(finding, self.monitor.settings.lang))
        control.should_training_stop = True
        run = (self.monitor, self._args, self._state, self._checkpoints)
        why = hindrance(finding, *run) if self._policy.save_on_stop else None
        if self._policy.save_on_stop and why is None:
            control.should_save = True
        self.stop = Stop(finding, why)
        self.spare_checkpoints(control)

    def spare_checkpoints(self, control: Any) -> None:
        """Hold back a save at the stop that would delete the checkpoint to go back to.

        The trainer's own: of this step, or of the epoch's end, which a stop brings about at once.
        """
        if self.stop is None or not control.should_save:
            return
        run = (self.monitor, self._args, self._state, self._checkpoints)
        if saving_loses(self.stop.cause, *run):
            control.should_save, self.stop.hindrance = False, ROTATION
