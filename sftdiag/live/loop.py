"""Loop: a training loop of one's own under watch, by the numbers that it logs.

It needs no training library: PyTorch, accelerate, JAX and Keras loops log to it alike. It goes by
the same :class:`~sftdiag.live.watch.Watch` as the callback.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from types import SimpleNamespace, TracebackType
from typing import Any, Self, TypeVar

from sftdiag.api import Selectors, make_settings, project_settings
from sftdiag.columns import Columns, chosen
from sftdiag.config import Trigger, count, is_enabled
from sftdiag.context import RunContext, of_user
from sftdiag.errors import ConfigError
from sftdiag.faults import Faults, say
from sftdiag.findings import Report
from sftdiag.guide.dialect import LOOP
from sftdiag.live.bad_steps import STOPPED, BadSteps, Guard
from sftdiag.live.given_rows import GivenRows
from sftdiag.live.resume import opened, past, resumed
from sftdiag.live.row_log import RowLog
from sftdiag.live.stopping import weights_worse
from sftdiag.live.unharmed import unharmed
from sftdiag.live.until_stop import UntilStop
from sftdiag.live.watch import Watch
from sftdiag.monitor import Monitor
from sftdiag.outlets import trackers
from sftdiag.outlets.webhook import Webhook
from sftdiag.policy import Policy
from sftdiag.sources import kept_log
from sftdiag.sources.every_step import Merger, Step, packed, unpacked
from sftdiag.values import EMPTY

T = TypeVar("T")


class Loop:
    """Diagnoses a loop while it trains; asks it to stop where that was asked for.

    What is not given (None) of ``stop_on`` to ``grace_steps`` and ``lang`` comes from the nearest
    ``sftdiag.toml`` or ``[tool.sftdiag]`` of ``pyproject.toml``, else from the environment. No
    fault of it reaches the loop, and it touches nothing but the numbers that it is given.

    Args:
        output_dir: the run's folder; what is found goes to its ``_sftdiag/`` as it happens, and the
            rows, which :func:`sftdiag.analyze` reads. None: to no file.
        stop_on: what sets ``should_stop``, as for :class:`sftdiag.DiagnosticsCallback`.
        raise_on: likewise, what :meth:`log` raises :class:`~sftdiag.UnhealthyRunError` for.
        select: codes or names to report; None means all.
        ignore: codes or names to leave out.
        grace_steps: before this step nothing stops or raises.
        guard: True or :class:`sftdiag.Guard`: what :meth:`skip` tells to keep out of the weights.
        start_step: optimizer steps done before, of a run that is resumed; 0 begins anew.
        context: what is known of the run, such as ``RunContext(learning_rate=1e-4,
            max_steps=1000, vocab_size=32000)``.
        columns: the Trainer's name to the loop's, such as ``{"loss": "nll"}``.
        rank: of this process; the first alone writes and tells. Default: the environment's RANK.
        report_to: the trackers whose open run gets alerts: wandb, trackio, mlflow; tensorboard.
        webhook: address to send alerts to. Default: the environment's ``SFTDIAG_WEBHOOK``.
        lang: ``"en"`` or ``"zh"``.
        enabled: False turns everything off, as does the environment's ``SFTDIAG_DISABLE=1``.

    Raises:
        ConfigError: a code, name, severity, tracker, language or address does not exist, here, in
            the file or in the environment; or another argument is of another type.

    Examples:
        >>> with Loop(stop_on="error") as run:
        ...     for step in run.until_stop(range(1, 100)):
        ...         run.log(step=step, loss=float("nan"), lr=1e-4)
        >>> step, run.report.primary.code
        (2, 'SFT106')
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | None = None,
        *,
        stop_on: Trigger = None,
        raise_on: Trigger = None,
        select: Selectors = None,
        ignore: Selectors = None,
        grace_steps: int | None = None,
        guard: Any = None,
        start_step: int = 0,
        context: RunContext | None = None,
        columns: Mapping[str, str] = EMPTY,
        rank: int | None = None,
        report_to: str | list[str] | None = None,
        webhook: str | None = None,
        lang: str | None = None,
        enabled: bool = True,
    ) -> None:
        self.enabled = is_enabled(enabled)
        self.settings = make_settings(
            project_settings() if self.enabled else None,
            select=select,
            ignore=ignore,
            lang=lang,
            stop_on=stop_on,
            raise_on=raise_on,
            grace_steps=grace_steps,
            save_on_stop=False,  # A loop saves by itself.
        )
        self.policy = Policy.of(self.settings)
        self.webhook = Webhook.of(webhook)
        self._first = (_rank() if rank is None else count("rank", rank)) == 0
        self._faults = Faults(logging.ERROR if self._first else logging.DEBUG)
        known = RunContext() if context is None else of_user(context)
        self._known = known.filled_from(RunContext(framework=LOOP))
        self._given = GivenRows(chosen(columns), self._first)
        self._monitor = Monitor(self._known, self.settings, on_fault=self._faults.failed)
        self._watch: Watch | None = None
        self._closed = False
        self._rows = RowLog()
        self._bad = _bad_steps(Guard.parse(guard))
        self._skips = self._guard_ended = False
        self._skipped: int | None = None
        self._control = SimpleNamespace(should_training_stop=False, should_save=False)
        # What the watch and the outlets read of TrainingArguments and TrainerState.
        self._args = SimpleNamespace(
            output_dir=os.fspath(output_dir) if output_dir is not None else None,
            report_to=trackers.asked_for(report_to),
            run_name=None,
            resume_from_checkpoint=None,
            save_strategy=None,
            save_total_limit=None,
        )
        self._state = SimpleNamespace(
            global_step=count("start_step", start_step),
            max_steps=self._known.max_steps,
            best_model_checkpoint=None,
            best_global_step=None,
            is_hyper_param_search=False,
            trial_name=None,
        )

    @property
    def should_stop(self) -> bool:
        """Whether the loop is to end now: a finding of ``stop_on`` is there."""
        return bool(self._control.should_training_stop)

    def until_stop(self, items: Iterable[T]) -> UntilStop[T]:
        """Return what goes through batches, steps or epochs until ``should_stop``.

        It takes no item more than the loop is given; several loops, one in another, all end. For
        one process: where several train, all have to leave at the same step.

        Args:
            items: a data loader, a range, or what else a loop goes through; as often as it can be.
        """
        return UntilStop(items, lambda: self.should_stop)

    @property
    def report(self) -> Report:
        """The diagnosis so far; valid at any time, also after the loop."""
        return self._monitor.report()

    def _repr_html_(self) -> str:
        """Show the diagnosis so far in a notebook."""
        return self.report._repr_html_()

    def __enter__(self) -> Self:
        """Begin, or go on after ``start_step`` with what was found until then."""
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say the verdict, also where the loop ends with an error."""
        self.close()

    @unharmed
    def _begin(self) -> None:
        if self._watch is not None or self._closed:
            return
        before = past(self._args, self._state, self._known)
        log: list[Mapping[str, Any]] = []
        folder = self._args.output_dir
        if before.start.after_step and folder and kept_log.recognises(folder):
            log = list(kept_log.read(folder, Columns()).rows)
        self._given.go_on(log)
        self._monitor = resumed(before, log, self.settings, self._faults)
        outlets = None
        if self._first:
            lang, faults = self.settings.lang, self._faults
            outlets = opened(before, self._args, self._state, lang, self.webhook, faults)
        self._watch = Watch(
            self._monitor, self.policy, self._args, self._state, before.checkpoints, outlets
        )
        self._watch.look_up = self._rows.of
        self._watch.learn(before.start.context, self._control)
        self._watch.take(before.checked, (), self._control)

    @unharmed
    def log(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: Any = None,
        rows: Iterable[int] | None = None,
        **more: Any,
    ) -> None:
        """Take in a row: numbers, 0-d tensors or arrays, under any tool's names for them.

        One call a row: a training row has a loss (``loss``, ``train_loss``, ``train/loss``), an
        evaluation ``eval_loss`` or ``val_loss``; ``lr``, ``grad_norm`` and ``epoch`` help.

        Args:
            metrics: the numbers, by name; or as keywords.
            step: optimizer steps done. None: one more than at the last training row.
            rows: the numbers of the training rows that the step was made of; findings name them.
            more: numbers, by name.

        Raises:
            UnhealthyRunError: as asked for with ``raise_on``.
        """
        self._begin()
        if self._watch is None:
            return
        row = self._given.row(metrics, more, step, self._state.global_step)
        if row is None:
            return
        planned = self._given.max_steps
        if planned is not None and self._state.max_steps is None:
            self._state.max_steps = planned
            self._watch.learn(RunContext(max_steps=planned), self._control)
        if "loss" in row and row["step"] == self._skipped:
            return  # The guard has told of it.
        if rows is not None:
            self._rows.given(row["step"], row.get("epoch"), rows)
        self._feed(self._watch, row)

    def _feed(self, watch: Watch, row: Mapping[str, Any]) -> None:
        if row["step"] > self._state.global_step:
            watch.went_on()
        self._state.global_step = row["step"]
        watch.feed([row], self._control)
        watch.find_rows()

    def skip(
        self,
        *,
        step: int,
        loss: Any,
        grad_norm: Any = None,
        lr: Any = None,
        epoch: float | None = None,
        rows: Iterable[int] | None = None,
    ) -> bool:
        """Return whether a step is to be kept out of the weights; asked before each is made.

        Where it is True, call ``zero_grad`` instead of ``step``. Always False without ``guard``.

        Args:
            step: optimizer steps done with it.
            loss: its loss; with several processes their mean, so that all do the same.
            grad_norm: the norm of its gradient, where that is known.
            lr: the rate that it is made with.
            epoch: epochs done with it.
            rows: the numbers of its training rows.
        """
        self._skips = False
        self._judge(
            self._given.step(step),
            self._given.metric("loss", loss),
            self._given.metric("grad_norm", grad_norm),
            self._given.metric("lr", lr),
            epoch,
            rows,
        )
        return self._skips

    @unharmed
    def _judge(
        self,
        step: int | None,
        loss: float | None,
        norm: float | None,
        rate: float | None,
        epoch: float | None,
        rows: Iterable[int] | None,
    ) -> None:
        self._begin()
        bad = self._bad
        if self._watch is None or bad is None or step is None or loss is None or self._guard_ended:
            return
        if rows is not None:
            self._rows.given(step, epoch, rows)
        bound = bad.bound(rate)
        reason = bad.reason(loss, norm, bound)
        if reason is None:
            bad.made(step, epoch, loss, rate)
            return
        self._skips, self._skipped = True, step
        ended = bad.skipped(self._state.max_steps or step)
        level, most = bound or (None, None)
        told = float(reason + (STOPPED if ended else 0))
        skipped = Step(step, loss, norm, rate, epoch, None, None, told, level, most)
        kept = packed([skipped])
        self._watch.keep_steps(kept)
        for row in Merger().rows(unpacked(kept), None):
            self._feed(self._watch, row)
        if ended:
            self._guard_ended = self._control.should_training_stop = True
            self._watch.stopped_by("SFT113")

    def learn(self, **known: Any) -> None:
        """Take in what becomes known of the run, as fields of :class:`sftdiag.RunContext`.

        Values that no run has are told in a line, and nothing is taken in: the loop goes on.
        """
        try:
            self._learn(of_user(RunContext(**known)))
        except ConfigError as error:
            if self._first:
                say(logging.WARNING, f"learn(): {error}")

    @unharmed
    def _learn(self, known: RunContext) -> None:
        self._begin()
        if self._watch is not None:
            self._state.max_steps = self._state.max_steps or known.max_steps
            self._watch.learn(known, self._control)

    @unharmed
    def take_checkpoints(self, steps: Iterable[int]) -> None:
        """Take in of which steps there are checkpoints now: fixes name the one to go back to."""
        self._begin()
        if self._watch is not None:
            self._watch.take_checkpoints(steps)

    @property
    def weights_worse(self) -> bool:
        """Whether the weights are worse than older ones now: lost, blown up, NaN, overfitted."""
        return weights_worse(self.report)

    @unharmed
    def saves_end(self) -> None:
        """Note, for what is said of the stop, that nothing is saved from it on."""
        if self._watch is not None and self._watch.stop is not None:
            self._watch.stop.saves_end = True

    @unharmed
    def close(self) -> None:
        """Say the verdict once, and of a stop where it was; later rows are not taken in."""
        if self._watch is not None:
            self._watch.conclude()
        self._over()

    def lose_sight(self, error: str) -> None:
        """Let the report say that the run is no longer seen; ``error``: why, in a line."""
        self._monitor.lose_sight(error)

    def _broken(self, part: str) -> None:
        self.lose_sight(self._faults.last)

    def _over(self) -> None:
        self._closed = True
        self._watch = None


def _bad_steps(guard: Guard | None) -> BadSteps | None:
    if guard is not None and guard.rollback:
        raise ConfigError("a loop's guard puts no weights back; expected Guard(rollback=0)")
    return BadSteps(guard) if guard is not None else None


def _rank() -> int:
    """Return the process's rank as launchers tell it (torchrun, accelerate, DeepSpeed)."""
    told = os.environ.get("RANK", "")
    return int(told) if told.isdecimal() else 0
