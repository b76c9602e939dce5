"""Step signals: the loss, gradient norm and rate of every optimizer step, taken from the trainer.

Where the trainer computes them they are copied into a ring on its device; a log row, which the
trainer brings over itself, takes the ring along in one copy. Nothing waits for the device in
between, no graph is kept and no random number drawn. The trainer's own log row says whether they
are what it logs: where it disagrees, its rows count and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import sub
from typing import Any

from sftdiag.findings import StepRows
from sftdiag.live.ahead import Ahead
from sftdiag.live.later import Aside
from sftdiag.live.made_step import (
    Brought,
    Skip,
    Taken,
    agree,
    joined,
    last_of_each,
    measured,
    part_of_norm,
    whole_norm,
)
from sftdiag.live.ring import ring_of
from sftdiag.live.row_log import AT_ONCE, MOST, RowLog
from sftdiag.live.tape import Ended, Pulse, Tape
from sftdiag.trainer import schedules

NO_SCALAR, DISAGREES, RANK_MISSING, FAULT = "no_scalar", "disagrees", "rank_missing", "fault"
"""Why the log rows are used instead; keys of skipped.toml, after ``steps_``."""


ROWS_AT_ONCE = 4 * AT_ONCE
"""Steps whose rows are put in their places together, where they are brought over before; fewer of
many rows, so that those that wait take no more than a quarter of the room of those in place."""

Taking = tuple[list[float], Sequence[bool], Sequence[Sequence[float | None]]]
"""Losses of micro-batches and norms of steps; which steps have one; what was measured beside."""


class StepSignals:
    """Follows one trainer step by step, on one rank.

    Args:
        trainer: a transformers or TRL trainer.

    Attributes:
        off: why the log rows count instead, or None.
        shared: every rank has them, so that their mean can be taken; only with several ranks.
        alone: this is the only rank.
        rows: which rows the last steps were made of.
        at_launch: called each time that a micro-batch is launched.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        args = trainer.args
        self.rows = RowLog(args.process_index, args.world_size)
        self.off: str | None = None
        self.shared = False
        self.alone = True
        self.at_launch: list[Callable[[], None]] = []
        self._ahead: Ahead | None = None
        self._undo: list[Callable[[], None]] = []
        self._reset()

    def _reset(self) -> None:
        self._tape = Tape(self.broke)
        self._placed = 0
        self._unplaced: list[tuple[int, list[Ended]]] = []
        self._parts = 1
        self._skips: dict[int, Skip] = {}
        self._clock = 0.0
        self._untimed = {0}
        self._ready: list[Taken] = []
        self._sum, self._count, self._waiting = 0.0, 0, 0
        self._measures = isinstance(getattr(self.trainer, "_metrics", None), dict)

    def begin(self, loader: Any, step: int, aside: Aside, *, ahead: bool = False) -> None:
        """Start afresh and follow the trainer from now on.

        Args:
            loader: what it trains from; None where its rows are not followed.
            step: the optimizer steps done before.
            aside: what is done once a micro-batch is launched.
            ahead: :meth:`now` is asked at each step, before the optimizer makes it.
        """
        self.end()
        self.off, self.shared, self.at_launch = None, False, []
        self._reset()
        args = self.trainer.args
        self.alone = args.world_size == 1
        per_step = args.gradient_accumulation_steps + 1
        # One place is left for what the ranks tell each other.
        self._ring = ring_of(args.device, per_step + 1)
        most = (self._ring.room - 1) // per_step
        self._every = min(most, AT_ONCE)
        # Reached where the tape is looked at.
        self._most = most - most % self._every
        of_a_step = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._rows_at_once = min(ROWS_AT_ONCE, MOST // 4 // of_a_step)
        if loader is not None:
            self.rows.begin(loader, args, step)
        in_stream = self.rows.trained if self.rows.by_place else None
        rate, tape = schedules.rate_of(self.trainer), self._tape
        keep = self._ring.keep
        if ahead and self.alone and self._ring.by_itself:
            self._ahead = Ahead.of(self.trainer, args.gradient_accumulation_steps)
        clipping = (lambda method: method) if self._ahead is None else self._ahead.clipping
        self._wrap(
            self.trainer,
            "training_step",
            lambda method: tape.training_step(method, keep, rate, in_stream, aside, self.at_launch),
        )
        self._wrap(
            self.trainer.accelerator,
            "clip_grad_norm_",
            lambda method: tape.clip_grad_norm_(clipping(method), self._clipped),
        )

    @property
    def device_computes_on(self) -> bool:
        """Whether the device computes what was launched while the host does something else."""
        return self._ring.by_itself

    def step_end(
        self,
        pulse: Pulse,
        failed: Callable[[Exception], None],
        otherwise: Callable[[Any, Any, Any], None],
    ) -> Callable[..., None]:
        """Return the event of a step that is done: see :meth:`sftdiag.live.tape.Tape.step_end`."""
        return self._tape.step_end(pulse, self._look, self._every, failed, otherwise)

    def broke(self) -> None:
        """Note that something failed on this rank: the others are told with the next values."""
        self.off = self.off or FAULT

    def end(self) -> None:
        """Leave the trainer as it was."""
        undo, self._undo = self._undo, []
        for each in undo:
            each()
        self._ahead = None
        self._place_rows()
        self.rows.end()

    def _wrap(
        self, owner: Any, name: str, seeing: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Have a method's calls seen, by an attribute of this instance alone.

        Args:
            owner: has the method.
            name: its name.
            seeing: returns what is called instead, given the method.
        """
        own = vars(owner).get(name)
        ours = seeing(getattr(owner, name))

        def undo() -> None:
            if vars(owner).get(name) is not ours:
                return  # Someone wrapped it once more; what we return is what the method returns.
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        setattr(owner, name, ours)
        self._undo.append(undo)

    def _clipped(self, norm: Any) -> None:
        """Keep a gradient norm that is no plain tensor, where it is one at all."""
        if isinstance(norm, (int, float)):
            self._tape.norms.append(norm)
        elif hasattr(norm, "device_mesh") and (kept := part_of_norm(norm)) is not None:
            part, self._parts = kept
            self._tape.norms.append(part)

    def now(self) -> tuple[float, float | None]:
        """Return the loss and the gradient norm of the step that is being made, now.

        This waits for the device, but where they came ahead. With several ranks it is their mean:
        every rank must ask, also one where something failed, and all of them know that then.
        """
        tape = self._tape
        batches, norms = (tape.ended[-1][3], tape.ended[-1][4]) if tape.ended else (0, 0)
        last, _ = last_of_each(tape.norms[norms:], [len(tape.norms) - norms])
        self._check()
        values = [0.0] * (len(tape.batches) - batches + len(last))
        came = self._ahead.numbers(last[0] if last else None) if self._ahead is not None else None
        if self.off is None:
            values = came or self._ring.numbers(batches, len(tape.batches), last)
        norm = values.pop() if last else None
        if self.alone:
            return sum(values), norm
        words = [sum(values), norm or 0.0, float(norm is not None), 0.0]
        if self.off is not None:
            words = [0.0, 0.0, 0.0, 1.0]
        loss, norm, normed, failed = self._ring.mean_of(words)
        if failed:
            self.off = self.off or FAULT
        return loss, whole_norm(norm, self._parts) if normed else None

    def comes_ahead(self) -> bool:
        """Have what :meth:`now` returns of the step that was launched come over, if that can be."""
        tape, ahead = self._tape, self._ahead
        if ahead is None:
            return False
        losses = self._ring.kept(tape.ended[-1][3] if tape.ended else 0, len(tape.batches))
        self._check()
        if self.off is not None or not len(losses):
            return False
        try:
            ahead.launch(losses)
        except Exception:
            # What fails here may be what fails the trainer's own call, which is now made.
            ahead.forget()
        return True

    @property
    def place(self) -> int:
        """Of the step that is being made, among those that were not brought over."""
        return len(self._tape.ended)

    def skipped(self, place: int, reason: int, level: float | None, bound: float | None) -> None:
        """Note that a step changes no weight.

        Args:
            place: as :attr:`place` said when it was made.
            reason: a value of :data:`sftdiag.records.SKIPS`, and what was done.
            level: the usual loss.
            bound: the rise above it that is not unusual.
        """
        self._skips[place] = float(reason), level, bound

    def _look(self) -> None:
        """Let nothing grow where no log row comes for long."""
        self._place_rows()
        self._check()
        # With several ranks all bring theirs over after equally many steps.
        if len(self._tape.ended) >= self._most or (self.alone and self.off is not None):
            self._empty()

    def _place_rows(self) -> None:
        """Tell the row log of the steps made since it was told last."""
        ended = self._tape.ended
        unplaced, self._unplaced = [*self._unplaced, (self._placed, ended)], []
        self._placed, self._waiting = len(ended), 0
        try:
            for placed, steps in unplaced:
                before = steps[placed - 1][3] if placed else 0
                for step, epoch, _, batches, _ in steps[placed:]:
                    self.rows.stepped(step, epoch, batches - before)
                    before = batches
            self.rows.place()
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
        self._untimed.add(len(self._tape.ended))

    def take(self, loss: float | None = None) -> Taken:
        """Bring over the steps since the last call.

        Args:
            loss: of the trainer's log row that is their mean, if it is one.

        Returns:
            Them, or none where they are not what the trainer logs.
        """
        self._empty()
        ready, self._ready = self._ready, []
        if loss is not None:
            total, count, self._sum, self._count = self._sum, self._count, 0.0, 0
            if count and self.off is None and not agree(total / count, loss):
                self.off = DISAGREES
        return joined(ready) if self.off is None else Taken()

    def _check(self) -> None:
        if not self._ring.holds_scalars():
            self.off = self.off or NO_SCALAR

    def _empty(self) -> None:
        """Copy what is kept to the host, once; with several ranks, their mean."""
        tape = self._tape
        if not tape.ended:
            return
        ended = [*tape.ended]
        self._unplaced.append((self._placed, ended))
        *_, clock, done, _ = ended[-1]
        noted, taken = tape.batches[:done], self._plain(len(ended), done)
        values, known, beside = taken if taken is not None else self._by_rank(ended)
        tape.forget()
        self._ring.clear(done)
        skips, untimed, since = self._skips, self._untimed, self._clock
        self._clock, self._placed, self._skips = clock, 0, {}
        self._untimed = {0} if len(ended) in untimed else set()
        self._waiting += len(ended)
        if self._waiting >= self._rows_at_once:
            self._place_rows()
        if self.off is not None:
            return
        # Of several micro-batches a step the sum is the same.
        self._sum, self._count = self._sum + sum(values[:done]), self._count + len(ended)
        self._ready.append(
            Taken(
                brought=Brought(
                    ended, noted, values, known, self._parts, since, untimed, skips, beside
                )
            )
        )

    def _plain(self, steps: int, done: int) -> Taking | None:
        """Return losses and norms where each step is one micro-batch and has one norm, on one rank.

        As nearly always: it asks nothing of each value but what it is.
        """
        norms = self._tape.norms
        if not self.alone or self.off is not None or not steps == done == len(norms):
            return None
        if self._measures or self._parts != 1:
            return None
        try:
            return self._ring.numbers(0, done, norms), [True] * steps, ()
        except Exception:
            return None  # One is no number.

    def _by_rank(self, ended: Sequence[Ended]) -> Taking:
        """Return losses and norms of any steps, their mean over the ranks, and what is beside."""
        *_, batches, norms = zip(*ended, strict=True)
        beside: Sequence[Sequence[float | None]] = ()
        own: list[Any] = []
        known: list[bool] = []
        try:
            own, known = last_of_each(self._tape.norms, norms)
            beside = measured(self.trainer, [*map(sub, batches, (0, *batches))])
        except Exception:
            self.broke()
        return self._values(batches[-1], own), known, beside

    def _values(self, done: int, norms: Sequence[Any]) -> list[float]:
        """Return losses and norms, averaged over the ranks as the trainer averages its log.

        Every rank comes here at the same step, also one where something failed: it says so in the
        last slot, and all go by the log rows from then on.
        """
        mine: Any = None
        try:
            if self.off is None and self.alone:
                return self._ring.numbers(0, done, norms)
            if self.off is None and self.shared:
                mine = self._ring.tensor(done, norms)
        except Exception:
            self._check()
            self.broke()
        if self.alone or not self.shared:
            self.off = self.off or RANK_MISSING
            return []
        values, failed = self._ring.mean(mine)
        if failed:
            self.off = self.off or FAULT
        return values
