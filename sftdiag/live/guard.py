"""Guard: a bad step is kept out of the weights, before the optimizer makes it.

Deciding takes the step's loss and gradient norm to the host, once a step, and with several ranks
their mean: that is what a guard costs, and only a run with one. Until it acts the run is the run
without it, bit for bit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from sftdiag import texts
from sftdiag.context import RunContext
from sftdiag.detectors._spikes import SpikeFinder
from sftdiag.errors import ConfigError
from sftdiag.faults import say
from sftdiag.live.step_signals import StepSignals
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

if TYPE_CHECKING:
    from sftdiag.live.rollback import Rollback

LOSS, GRADIENT, SPIKE = 1, 2, 3
"""Why a step is skipped: keys of :data:`sftdiag.records.SKIPS`."""

STOPPED, PUT_BACK = 10, 20
"""Added to them where the budget is used up."""

FEWEST = 3
"""Steps that may be skipped in a run of any length: most_share of a short one is none."""

IN_BACKWARD = ("lomo", "adalomo", "layerwise")
"""Parts of optimizers' names that step in the backward pass: no gradient is left to drop."""


class Guard(Value):
    """What a guard may do.

    Attributes:
        skip: ``"non-finite"``: steps whose loss or gradient norm is NaN or infinite; or ``"none"``.
        spikes: steps, too, whose loss lies beyond what the run's own noise explains: the bar of
            SFT105, never a fixed multiple; off until the noise is known.
        most_in_a_row: steps skipped in a row, after which the run is stopped.
        most_share: share of the planned steps that may be skipped in all, three at the least.
        rollback: times that an adapter's weights are put back to those of the best evaluation,
            instead of the stop.
        scale: the learning rate after that over the one before.
    """

    skip: str = "non-finite"
    spikes: bool = True
    most_in_a_row: int = 3
    most_share: float = 0.01
    rollback: int = 0
    scale: float = 0.5

    def _validate(self) -> None:
        if self.skip not in ("non-finite", "none"):
            raise ConfigError(f'Guard(skip=...) is "non-finite" or "none", got {self.skip!r}')
        if self.most_in_a_row < 1 or not 0 < self.most_share <= 1:
            raise ConfigError("Guard: most_in_a_row is 1 or more, most_share above 0 and at most 1")
        if self.rollback < 0 or not 0 < self.scale <= 1:
            raise ConfigError("Guard: rollback is 0 or more, scale above 0 and at most 1")

    @classmethod
    def parse(cls, given: Any) -> Guard | None:
        """Return the guard for True, False, None or a :class:`Guard`.

        Raises:
            ConfigError: it is none of these.
        """
        if given is None or given is False:
            return None
        if given is True:
            return cls()
        if isinstance(given, cls):
            return given
        raise ConfigError(f"guard is True, False or sftdiag.Guard(...), got {given!r}")


class GuardedSteps:
    """A guard at work in one ``train()``, on one rank.

    Args:
        guard: what it may do.
        signals: what is seen of each step.
        lang: language of its lines.

    Attributes:
        stopped: it has used up its budget, and the run is to be stopped.
    """

    def __init__(self, guard: Guard, signals: StepSignals, lang: str) -> None:
        self.stopped = False
        self._guard, self._signals, self._lang = guard, signals, lang
        self._trainer = signals.trainer
        self._own = Signals(RunContext())
        self._finder = SpikeFinder()
        self._rate: float | None = None
        self._in_a_row = self._skipped = 0
        self._rollback: Rollback | None = None
        self._refused: str | None = None
        self._scaler = False
        self._first_step = 0

    def begin(self) -> None:
        """Say at the start what cannot be done in this run."""
        trainer = self._trainer
        # The ranks meet at the end of the first step.
        self._first_step = trainer.state.global_step
        self._refused, values = _refusal(trainer)
        self._scaler = trainer.accelerator.scaler is not None
        if self._refused is not None:
            self._say(self._refused, values)
        elif self._scaler:
            self._say("scaler", {})
        if self._guard.rollback and self._refused is None:
            from sftdiag.live.rollback import Rollback

            self._rollback = Rollback.of(trainer, self._guard.rollback, self._guard.scale)
            if self._rollback is None:
                self._say("no_adapter", {})

    def before_step(self, step: int, epoch: float | None, model: Any, optimizer: Any) -> None:
        """Look at the step that the optimizer is about to make; drop its gradients if it is bad.

        Args:
            step: optimizer steps done before it.
            epoch: epochs done before it.
            model: the model as the trainer trains it.
            optimizer: the trainer's.
        """
        if self._refused is not None or self.stopped:
            return
        try:
            self._look(step, epoch, model, optimizer)
        except Exception:
            # With several ranks the others learn of it when they next ask for a step's mean.
            self._signals.broke()
            raise

    def _look(self, step: int, epoch: float | None, model: Any, optimizer: Any) -> None:
        if not self._signals.alone and not self._signals.shared:
            if step > self._first_step:
                self._refuse("ranks", {})
            return
        loss, norm = self._signals.now()
        if self._signals.off is not None:
            self._refuse("no_steps", {"why": self._signals.off})
            return
        rate = optimizer.param_groups[0]["lr"]
        rates = (float(rate), self._rate) if isinstance(rate, (int, float)) else (None, None)
        bound = self._bound(rates)
        reason = self._reason(loss, norm, bound)
        if reason is None:
            self._made(step + 1, epoch, loss, rates[0])
            return
        optimizer.zero_grad(set_to_none=True)
        model.zero_grad(set_to_none=True)
        self._in_a_row += 1
        self._skipped += 1
        level, most = bound or (None, None)
        action = self._past_budget() if self._is_past_budget() else 0
        self._signals.skipped(reason + action, level, most)

    def evaluated(self, metrics: Mapping[str, Any] | None, step: int) -> None:
        """Keep the weights of the best evaluation, where they may be put back."""
        if self._rollback is not None:
            self._rollback.evaluated(metrics or {}, step)

    def _bound(self, rates: tuple[float | None, float | None]) -> tuple[float, float] | None:
        """Return the level and how far above it a loss is a spike; None while it is not known."""
        if not self._guard.spikes:
            return None
        now, before = rates
        rises = now is not None and before is not None and now > before
        return self._finder.bound(self._own, rises=rises)

    def _reason(
        self, loss: float, norm: float | None, bound: tuple[float, float] | None
    ) -> int | None:
        if self._guard.skip == "non-finite" and not self._scaler:
            # A NaN whose gradient is exactly 0 is a batch without a label, and changes nothing.
            if not isfinite(loss) and norm != 0.0:
                return LOSS
            if norm is not None and not isfinite(norm):
                return GRADIENT
        if bound is not None and isfinite(loss) and loss - bound[0] > bound[1]:
            return SPIKE
        return None

    def _made(self, step: int, epoch: float | None, loss: float, rate: float | None) -> None:
        """Take the loss of a step that is made into the noise that later ones are held against."""
        self._in_a_row = 0
        self._rate = rate
        if not self._guard.spikes or not isfinite(loss):
            return
        metrics = {"loss": loss} if rate is None else {"loss": loss, "learning_rate": rate}
        record = LogRecord(TRAIN, step, epoch, metrics)
        self._own.update(record)
        self._finder.take(self._own, loss, step)

    def _is_past_budget(self) -> bool:
        planned = self._trainer.state.max_steps
        most = max(FEWEST, self._guard.most_share * planned)
        return self._in_a_row >= self._guard.most_in_a_row or self._skipped > most

    def _past_budget(self) -> int:
        """Put the weights back where that may be done, else have the run stopped."""
        if self._rollback is not None and self._rollback.left:
            step = self._rollback.put_back()
            self._say("put_back", {"step": step, "scale": self._guard.scale})
            self._in_a_row = self._skipped = 0
            self._own, self._finder = Signals(RunContext()), SpikeFinder()
            return PUT_BACK
        self.stopped = True
        return STOPPED

    def _refuse(self, key: str, values: Mapping[str, Any]) -> None:
        self._refused = key
        self._say(key, values)

    def _say(self, key: str, values: Mapping[str, Any]) -> None:
        if self._trainer.is_world_process_zero():
            line = texts.load(__file__, "guard", self._lang)[key].format(**values)
            say(logging.WARNING, line)


def _refusal(trainer: Any) -> tuple[str | None, dict[str, Any]]:
    """Return why no step of this trainer can be skipped, a key of guard.toml, or None."""
    if trainer.is_deepspeed_enabled:
        return "deepspeed", {}
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    offload = getattr(plugin, "cpu_offload", None)
    if plugin is not None and (getattr(offload, "offload_params", offload)):
        return "offload", {}
    optim = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if any(part in optim for part in IN_BACKWARD):
        return "optimizer", {"optim": optim}
    return None, {}
