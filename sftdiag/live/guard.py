"""Guard: a bad step is kept out of the weights, before the optimizer makes it.

Deciding takes the step's loss and gradient norm to the host, once a step. On one GPU they come
with what the trainer itself waits for (:mod:`sftdiag.live.ahead`); elsewhere the step waits for
them, and with several ranks for their mean: that is what a guard costs, and only a run with one.
Until it acts the run is the run without it, bit for bit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sftdiag import texts
from sftdiag.faults import say
from sftdiag.live.bad_steps import PUT_BACK, STOPPED, BadSteps, Guard
from sftdiag.live.step_signals import StepSignals

if TYPE_CHECKING:
    from sftdiag.live.rollback import Rollback

IN_BACKWARD = ("lomo", "adalomo", "layerwise")
"""Parts of optimizers' names that step in the backward pass: no gradient is left to drop."""


class Step(NamedTuple):
    """What is known of a step before the optimizer makes it.

    Attributes:
        place: among those on the tape.
        step: steps done with it.
        epoch: epochs done before it.
        rate: its learning rate.
        bound: the level and how far above it a loss is a spike; None while it is not known.
    """

    place: int
    step: int
    epoch: float | None
    rate: float | None
    bound: tuple[float, float] | None


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
        self._bad = BadSteps(guard)
        self._rollback: Rollback | None = None
        self._ready: Step | None = None
        self._last: tuple[Step, float] | None = None
        self._refused: str | None = None
        self._first_step = 0

    def begin(self) -> None:
        """Say at the start what cannot be done in this run."""
        trainer = self._trainer
        # The ranks meet at the end of the first step.
        self._first_step = trainer.state.global_step
        self._refused, values = _refusal(trainer)
        self._bad.scaled = trainer.accelerator.scaler is not None
        if self._refused is not None:
            self._say(self._refused, values)
        elif self._bad.scaled:
            self._say("scaler", {})
        if self._guard.rollback and self._refused is None:
            from sftdiag.live.rollback import Rollback

            self._rollback = Rollback.of(trainer, self._guard.rollback, self._guard.scale)
            if self._rollback is None:
                self._say("no_adapter", {})
        if self._refused is None:
            self._signals.at_launch.append(self._prepare)

    def before_step(self, step: int, model: Any, optimizer: Any) -> None:
        """Look at the step that the optimizer is about to make; drop its gradients if it is bad.

        Args:
            step: optimizer steps done before it.
            model: the model as the trainer trains it.
            optimizer: the trainer's.
        """
        if self._refused is not None or self.stopped:
            return
        try:
            self._look(step, model, optimizer)
        except Exception:
            # With several ranks the others learn of it when they next ask for a step's mean.
            self._signals.broke()
            raise

    def _look(self, step: int, model: Any, optimizer: Any) -> None:
        if not self._signals.alone and not self._signals.shared:
            if step > self._first_step:
                self._refuse("ranks", {})
            return
        self._settle()
        loss, norm = self._signals.now()
        if self._signals.off is not None:
            self._refuse(f"steps_{self._signals.off}", {})
            return
        made, self._ready = self._ready or self._about_to_make(), None
        reason = self._bad.reason(loss, norm, made.bound)
        if reason is None:
            self._last = made, loss
            return
        optimizer.zero_grad(set_to_none=True)
        model.zero_grad(set_to_none=True)
        level, most = made.bound or (None, None)
        action = self._past_budget() if self._bad.skipped(self._trainer.state.max_steps) else 0
        self._signals.skipped(made.place, reason + action, level, most)

    def _about_to_make(self) -> Step:
        trainer = self._trainer
        rate = trainer.optimizer.param_groups[0]["lr"]
        known = float(rate) if isinstance(rate, (int, float)) else None
        state, bound = trainer.state, self._bad.bound(known)
        return Step(self._signals.place, state.global_step + 1, state.epoch, known, bound)

    def _prepare(self) -> None:
        """Do what can be done before the step is reckoned: the device computes on."""
        if self._refused is not None or self.stopped:
            return
        if not self._trainer.accelerator.sync_gradients or not self._signals.comes_ahead():
            return
        self._settle()
        self._ready = self._about_to_make()

    def _settle(self) -> None:
        """Take the loss of the last step that was made into what is usual."""
        last, self._last = self._last, None
        if last is not None:
            made, loss = last
            self._bad.made(made.step, made.epoch, loss, made.rate)

    def evaluated(self, metrics: Mapping[str, Any] | None, step: int) -> None:
        """Keep the weights of the best evaluation, where they may be put back."""
        if self._rollback is not None:
            self._rollback.evaluated(metrics or {}, step)

    def _past_budget(self) -> int:
        """Put the weights back where that may be done, else have the run stopped."""
        if self._rollback is not None and self._rollback.left:
            step = self._rollback.put_back()
            self._say("put_back", {"step": step, "scale": self._guard.scale})
            self._bad.forget()
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
    if _offloads(getattr(trainer.accelerator.state, "fsdp_plugin", None)):
        return "offload", {}
    optim = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if any(part in optim for part in IN_BACKWARD):
        return "optimizer", {"optim": optim}
    return None, {}


def _offloads(plugin: Any) -> bool:
    """Return whether accelerate's FSDP plugin, if there is one, keeps weights on the CPU.

    FSDP1's setting holds a switch. FSDP2's is a policy, and its base class offloads nothing.
    """
    offload = getattr(plugin, "cpu_offload", None)
    if offload is None or isinstance(offload, bool):
        return bool(offload)
    if hasattr(offload, "offload_params"):
        return bool(offload.offload_params)
    from torch.distributed.fsdp import CPUOffloadPolicy

    return isinstance(offload, CPUOffloadPolicy)
