"""Step signals: the loss, gradient norm and rate of every optimizer step, taken from the trainer.

Where the trainer computes them they are copied into a ring on its device; a log row, which the
trainer brings over itself, takes the ring along in one copy. Nothing waits for the device in
between, no graph is kept and no random number drawn. The trainer's own log row says whether they
are what it logs: where it disagrees, its rows count and the report says so.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from sftdiag.live.made_step import (
    NOT_SKIPPED,
    Made,
    agree,
    measured,
    part_of_norm,
    whole_norm,
)
from sftdiag.live.ring import ring_of
from sftdiag.live.row_log import RowLog
from sftdiag.sources.every_step import Step, packed, unpacked
from sftdiag.trainer import schedules

NO_SCALAR, DISAGREES, RANK_MISSING, FAULT = "no_scalar", "disagrees", "rank_missing", "fault"
"""Why the log rows are used instead; keys of skipped.toml, after ``steps_``."""


class StepSignals:
    """Follows one trainer step by step, on one rank.

    Args:
        trainer: a transformers or TRL trainer.

    Attributes:
        off: why the log rows count instead, or None.
        shared: every rank has them, so that their mean can be taken; only with several ranks.
        alone: this is the only rank.
        rows: which rows the last steps were made of.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        args = trainer.args
        self.rows = RowLog(args.process_index, args.world_size)
        self.off: str | None = None
        self.shared = False
        self.alone = True
        self._undo: list[Callable[[], None]] = []
        self._reset()

    def _reset(self) -> None:
        self._used = 0
        self._steps: list[Made] = []
        self._losses = self._batches = self._tokens = 0
        self._normed, self._parts, self._skip = False, 1, NOT_SKIPPED
        self._rate: Any = None
        self._ready: list[Step] = []
        self._since_row: list[Step] = []
        self._clock: float | None = None

    def begin(self, loader: Any = None, step: int = 0) -> None:
        """Start afresh and follow the trainer from now on.

        Args:
            loader: what it trains from; None where its rows are not followed.
            step: the optimizer steps done before.
        """
        self.end()
        self.off, self.shared = None, False
        self._reset()
        args = self.trainer.args
        self.alone = args.world_size == 1
        from torch import Tensor

        self._plain = Tensor
        per_step = args.gradient_accumulation_steps + 1
        # One place is left for what the ranks tell each other.
        self._ring = ring_of(args.device, per_step + 1)
        self._most = (self._ring.room - 1) // per_step
        self._put = self._ring.put
        self._rates = schedules.rates_of(self.trainer)
        if loader is not None:
            self.rows.begin(loader, args, step)
        self._place = self.rows.trained if self.rows.by_place else None
        self._wrap(self.trainer, "training_step", self._trained)
        self._wrap(self.trainer.accelerator, "clip_grad_norm_", self._clipped)

    def broke(self) -> None:
        """Note that something failed on this rank: the others are told with the next values."""
        self.off = self.off or FAULT

    def end(self) -> None:
        """Leave the trainer as it was."""
        undo, self._undo = self._undo, []
        for each in undo:
            each()
        self.rows.end()

    def _wrap(self, owner: Any, name: str, seen: Callable[[Any, Any, Any], None]) -> None:
        """Have what a method returns seen, by an attribute of this instance alone."""
        original, own = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(original)
        def seeing(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            try:
                seen(result, args, kwargs)
            except Exception:
                self.broke()
            return result

        def undo() -> None:
            if vars(owner).get(name) is not seeing:
                return  # Someone wrapped it once more; what we return is what the method returns.
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        setattr(owner, name, seeing)
        self._undo.append(undo)

    def _trained(self, loss: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Keep the loss of a micro-batch, as the trainer adds it up."""
        # A step has just filled the caches with its own: every function called here is a cold one.
        self._batches += 1
        inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
        named = type(inputs) is dict or hasattr(inputs, "get")
        ids: Any = inputs.get("input_ids") if named else None
        if self._place is not None:
            self._place(ids)
        if self.off is not None:
            return
        if (type(loss) is not self._plain and not hasattr(loss, "dim")) or loss.dim():
            self.off = NO_SCALAR
            return
        self._put(self._used, loss.detach() if loss.requires_grad else loss)
        self._used += 1
        self._losses += 1
        self._rate = self._rates()[0]
        if hasattr(ids, "numel"):
            self._tokens += ids.numel()

    def _clipped(self, norm: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Keep the gradient norm that the trainer logs of its step: that of its last call."""
        if self.off is not None:
            return
        if type(norm) is self._plain:
            if norm.numel() != 1:
                return
            norm = norm.detach() if norm.requires_grad else norm
        elif not isinstance(norm, (int, float)):
            kept = part_of_norm(norm) if hasattr(norm, "device_mesh") else None
            if kept is None:
                return
            norm, self._parts = kept
        self._put(self._used, norm)
        self._normed = True

    def now(self) -> tuple[float, float | None]:
        """Return the loss and the gradient norm of the step that is being made, now.

        This waits for the device. With several ranks it is their mean: every rank must ask, also
        one where something failed, and all of them know that then.
        """
        losses = self._ring.numbers(self._used - self._losses, self._used + self._normed)
        norm = losses.pop() if self._normed else None
        if self.alone:
            return sum(losses), norm
        words = [sum(losses), norm or 0.0, float(self._normed), 0.0]
        if self.off is not None:
            words = [0.0, 0.0, 0.0, 1.0]
        loss, norm, normed, failed = self._ring.mean(words)
        if failed:
            self.off = self.off or FAULT
        return loss, whole_norm(norm, self._parts) if normed else None

    def skipped(self, reason: int, level: float | None, bound: float | None) -> None:
        """Note that the step that is being made changes no weight.

        Args:
            reason: a value of :data:`sftdiag.records.SKIPS`, and what was done.
            level: the usual loss.
            bound: the rise above it that is not unusual.
        """
        self._skip = float(reason), level, bound

    def stepped(self, step: int, epoch: float | None) -> None:
        """Note that an optimizer step is done."""
        now, clock = time.monotonic(), self._clock
        self._clock = now
        seconds = now - clock if clock is not None else None
        made = (
            step,
            self._losses,
            self._normed,
            self._parts,
            self._rate,
            epoch,
            seconds,
            self._tokens,
            self._skip,
        )
        self._steps.append(_as_made(made))
        self._used += self._normed
        batches = self._batches
        self._losses = self._batches = self._tokens = 0
        self._normed, self._parts, self._skip = False, 1, NOT_SKIPPED
        try:
            self.rows.stepped(step, epoch, batches)
        except Exception:
            # The step counts all the same: ranks bring theirs over after equally many.
            self.broke()
        if len(self._steps) == self._most:
            self._empty()

    def paused(self) -> None:
        """Note that what comes next is no step: its time is none of the next one's."""
        self._clock = None

    def take(self, loss: float | None = None) -> list[Step]:
        """Bring over the steps since the last call.

        Args:
            loss: of the trainer's log row that is their mean, if it is one.

        Returns:
            Them, or none where they are not what the trainer logs.
        """
        self._empty()
        steps, self._ready = self._ready, []
        self._since_row += steps
        if loss is not None:
            since, self._since_row = self._since_row, []
            if since and self.off is None and not agree(since, loss):
                self.off = DISAGREES
        return steps if self.off is None else []

    def _empty(self) -> None:
        """Copy the ring to the host, once; with several ranks, their mean."""
        if not self._steps:
            return
        batches, beside = [made.losses for made in self._steps], list[list[float | None]]()
        try:
            beside = measured(self.trainer, batches)
        except Exception:
            self.broke()
        values = self._values()
        self._ring.clear(self._used)
        steps, self._steps, self._used = self._steps, [], 0
        if self.off is not None:
            return
        place, found = 0, []
        for made, kept in zip(steps, beside, strict=True):
            step, count, normed, parts, rate, epoch, seconds, tokens, skip = made
            loss, place = sum(values[place : place + count]), place + count + normed
            norm = whole_norm(values[place - 1], parts) if normed else None
            # A tensor would have to be waited for; the log row says it.
            told = float(rate) if isinstance(rate, (int, float)) else None
            found.append(Step(step, loss, norm, told, epoch, seconds, tokens or None, *skip, *kept))
        # As a later reader of the file sees them.
        self._ready += unpacked(packed(found))

    def _values(self) -> list[float]:
        """Return what is in the ring, averaged over the ranks as the trainer averages its log.

        Every rank comes here at the same step, also one where something failed: it says so in the
        last slot, and all go by the log rows from then on.
        """
        if self.alone:
            return self._ring.numbers(0, self._used)
        if not self.shared:
            self.off = self.off or RANK_MISSING
            return [0.0] * self._used
        self._put(-1, float(self.off is not None))
        *values, failed = self._ring.mean()
        if failed:
            self.off = self.off or FAULT
        return values


_as_made: Callable[[tuple[Any, ...]], Made] = functools.partial(tuple.__new__, Made)
"""A step of its values in order, as ``Made._make`` returns it, without a function of Python's."""
