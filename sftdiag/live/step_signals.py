"""Step signals: the loss, gradient norm and rate of every optimizer step, taken from the trainer.

Where the trainer computes them they are copied into a ring on its device; a log row, which the
trainer brings over itself, takes the ring along in one copy. Nothing waits for the device in
between, no graph is kept and no random number drawn. The trainer's own log row says whether they
are what it logs: where it disagrees, its rows count and the report says so.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from sftdiag.findings import StepRows
from sftdiag.live.made_step import (
    NOT_SKIPPED,
    Made,
    agree,
    measured,
    part_of_norm,
    whole_norm,
)
from sftdiag.live.ring import ring_of
from sftdiag.live.row_log import AT_ONCE, RowLog
from sftdiag.sources.every_step import packed
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
        self._steps: list[Made] = []
        self._begin = self._batches = self._tokens = self._placed = 0
        self._normed, self._parts, self._skip = False, 1, NOT_SKIPPED
        self._rate: Any = None
        self._ready = b""
        self._losses: list[float] = []
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
        self._keep = self._ring.keep
        self._rates = schedules.rates_of(self.trainer)
        if loader is not None:
            self.rows.begin(loader, args, step)
        self._in_stream = self.rows.trained if self.rows.by_place else None
        self._wrap(self.trainer, "training_step", self._trained, self._begins)
        self._wrap(self.trainer.accelerator, "clip_grad_norm_", self._clipped)

    def broke(self) -> None:
        """Note that something failed on this rank: the others are told with the next values."""
        self.off = self.off or FAULT

    def end(self) -> None:
        """Leave the trainer as it was."""
        undo, self._undo = self._undo, []
        for each in undo:
            each()
        self._place_rows()
        self.rows.end()

    def _wrap(
        self,
        owner: Any,
        name: str,
        seen: Callable[[Any], None],
        before: Callable[[tuple[Any, ...], Any], None] | None = None,
    ) -> None:
        """Have what a method returns seen, by an attribute of this instance alone.

        Args:
            owner: has the method.
            name: its name.
            seen: is given what it returns.
            before: is given what it is called with, before it is.
        """
        original, own = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(original)
        def seeing(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                try:
                    before(args, kwargs)
                except Exception:
                    self.broke()
            result = original(*args, **kwargs)
            try:
                seen(result)
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

    def _begins(self, args: tuple[Any, ...], kwargs: Any) -> None:
        """Note what is known of a micro-batch before it is trained on.

        A step fills the caches with its own: what is asked behind it takes thrice the time.
        """
        self._batches += 1
        inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
        ids: Any = inputs.get("input_ids") if hasattr(inputs, "get") else None
        if self._in_stream is not None:
            self._in_stream(ids)
        if hasattr(ids, "numel"):
            self._tokens += ids.numel()
        self._rate = self._rates()[0]

    def _trained(self, loss: Any) -> None:
        """Keep the loss of a micro-batch, as the trainer adds it up."""
        if self.off is not None:
            return
        if loss.dim():
            self.off = NO_SCALAR
            return
        self._keep(loss.detach() if loss.requires_grad else loss)

    def _clipped(self, norm: Any) -> None:
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
        if self._normed:
            self._ring.drop()
        self._keep(norm)
        self._normed = True

    def now(self) -> tuple[float, float | None]:
        """Return the loss and the gradient norm of the step that is being made, now.

        This waits for the device. With several ranks it is their mean: every rank must ask, also
        one where something failed, and all of them know that then.
        """
        losses = self._ring.numbers(self._begin, self._begin + self._batches + self._normed)
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

    def stepped(self, step: int, epoch: float | None) -> float:
        """Note that an optimizer step is done; return the time."""
        now, clock = time.monotonic(), self._clock
        self._clock = now
        batches, normed = self._batches, self._normed
        tokens, skip = self._tokens, self._skip
        made = step, batches, normed, self._parts, self._rate, epoch, clock, now, tokens, skip
        self._steps.append(made)
        self._begin += batches + normed
        self._batches = self._tokens = 0
        self._normed, self._parts, self._skip = False, 1, NOT_SKIPPED
        if step % AT_ONCE == 0:
            self._place_rows()
        if len(self._steps) == self._most:
            self._empty()
        return now

    def _place_rows(self) -> None:
        """Tell the row log of the steps made since it was told last."""
        placed, self._placed = self._placed, len(self._steps)
        try:
            for made in self._steps[placed:]:
                self.rows.stepped(made[0], made[5], made[1])
        except Exception:
            # The steps count all the same: ranks bring theirs over after equally many.
            self.broke()

    def rows_of(self, steps: Sequence[int]) -> list[StepRows]:
        """Return the rows of these steps, of those that are still known."""
        self._place_rows()
        return self.rows.of(steps)

    def epoch_begins(self) -> None:
        """Note that the trainer is about to iterate over its loader, from the beginning."""
        self._place_rows()
        self.rows.epoch_begins()

    def paused(self) -> None:
        """Note that what comes next is no step: its time is none of the next one's."""
        self._clock = None

    def take(self, loss: float | None = None) -> bytes:
        """Bring over the steps since the last call.

        Args:
            loss: of the trainer's log row that is their mean, if it is one.

        Returns:
            Them, as rows of :mod:`sftdiag.sources.every_step`, or none where they are not what
            the trainer logs.
        """
        self._empty()
        steps, self._ready = self._ready, b""
        if loss is not None:
            losses, self._losses = self._losses, []
            if losses and self.off is None and not agree(losses, loss):
                self.off = DISAGREES
        return steps if self.off is None else b""

    def _empty(self) -> None:
        """Copy the ring to the host, once; with several ranks, their mean."""
        if not self._steps:
            return
        self._place_rows()
        batches, beside = [made[1] for made in self._steps], list[list[float | None]]()
        try:
            beside = measured(self.trainer, batches)
        except Exception:
            self.broke()
        values = self._values()
        self._ring.clear(self._begin)
        steps, self._steps = self._steps, []
        self._begin = self._placed = 0
        if self.off is not None:
            return
        place, found = 0, []
        for made, kept in zip(steps, beside, strict=True):
            step, count, normed, parts, rate, epoch, clock, now, tokens, skip = made
            loss, place = sum(values[place : place + count]), place + count + normed
            norm = whole_norm(values[place - 1], parts) if normed else None
            # A tensor would have to be waited for; the log row says it.
            told = float(rate) if isinstance(rate, (int, float)) else None
            seconds = now - clock if clock is not None else None
            found.append((step, loss, norm, told, epoch, seconds, tokens or None, *skip, *kept))
            self._losses.append(loss)
        self._ready += packed(found)

    def _values(self) -> list[float]:
        """Return what is in the ring, averaged over the ranks as the trainer averages its log.

        Every rank comes here at the same step, also one where something failed: it says so in the
        last slot, and all go by the log rows from then on.
        """
        if self.alone:
            return self._ring.numbers(0, self._begin)
        if not self.shared:
            self.off = self.off or RANK_MISSING
            return [0.0] * self._begin
        *values, failed = self._ring.mean(last=float(self.off is not None))
        if failed:
            self.off = self.off or FAULT
        return values
