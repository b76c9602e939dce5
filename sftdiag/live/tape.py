"""Tape: what is noted of each step while it is made; all questions wait until a log row.

A step of training drives everything else out of the caches: behind it each object, attribute and
function of Python that is touched costs a tenth of a microsecond and more. So what runs at every
step are functions whose names are all their own, that append to lists, and nothing else.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sftdiag.live.later import Aside


class Pulse(Protocol):
    """Whoever wants to be told of long pauses; see :class:`sftdiag.live.watchdog.Watchdog`."""

    last: float
    step: int
    usual: float


Batch = tuple[int, Any]
"""A micro-batch before it is trained on: tokens in it, padding included, 0 where it has none; and
the learning rate then, a number or a tensor."""

Ended = tuple[int, float | None, float, int, int]
"""A step that is done: steps done with it, epochs done with it, when, in seconds of a clock that
only goes forward; micro-batches and gradient norms on the tape by then. Of several norms the step's
last one is its own."""


class Tape:
    """What is noted of one trainer, from the last log row on.

    Args:
        broke: called where something fails in here, which the trainer must not notice.

    Attributes:
        batches: of the steps on it.
        norms: gradient norms: tensors of one element and without a graph, or numbers.
        ended: the steps that are done.
    """

    def __init__(self, broke: Callable[[], None]) -> None:
        self.batches: list[Batch] = []
        self.norms: list[Any] = []
        self.ended: list[Ended] = []
        self._broke = broke

    def training_step(
        self,
        original: Callable[..., Any],
        keep: Callable[[Any], None],
        rate: Callable[[], Any],
        in_stream: Callable[[Any], None] | None,
        aside: Aside,
        at_launch: Sequence[Callable[[], None]] = (),
    ) -> Callable[..., Any]:
        """Return the trainer's method, each of whose calls is a micro-batch.

        Args:
            original: it.
            keep: is given each loss, without a graph.
            rate: tells the learning rate.
            in_stream: is given the token ids of each, if anything.
            aside: what is done once a micro-batch is launched.
            at_launch: called each time that one is.
        """
        note, broke = self.batches.append, self._broke
        actions, do = aside.actions, aside.do

        @functools.wraps(original)
        def seeing(*args: Any, **kwargs: Any) -> Any:
            # What is asked behind a step takes twice the time of what is asked before it.
            try:
                inputs: Any = args[1] if len(args) > 1 else kwargs.get("inputs")
                ids: Any = None
                try:
                    ids = inputs["input_ids"]
                    tokens = ids.numel()
                except (LookupError, TypeError, AttributeError):
                    tokens = 0
                if in_stream is not None:
                    in_stream(ids)
                note((tokens, rate()))
            except Exception:
                broke()
            loss = original(*args, **kwargs)
            try:
                keep(loss.detach() if loss.requires_grad else loss)
                # What the device is to do next, before what it does not wait for.
                for each in at_launch:
                    each()
                if actions:
                    do()
            except Exception:
                broke()
            return loss

        return seeing

    def clip_grad_norm_(
        self, original: Callable[..., Any], other: Callable[[Any], None]
    ) -> Callable[..., Any]:
        """Return accelerate's method, which returns the gradient norm that the trainer logs.

        Args:
            original: it.
            other: is given whatever is no plain tensor.
        """
        from torch import Tensor

        note, broke, plain = self.norms.append, self._broke, Tensor

        @functools.wraps(original)
        def seeing(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            try:
                if type(norm) is plain:
                    note(norm.detach() if norm.requires_grad else norm)
                else:
                    other(norm)
            except Exception:
                broke()
            return norm

        return seeing

    def step_end(
        self,
        pulse: Pulse,
        look: Callable[[], None],
        every: int,
        failed: Callable[[Exception], None],
        otherwise: Callable[[Any, Any, Any], None],
    ) -> Callable[..., None]:
        """Return the callback's event of a step that is done, which is all there is to do.

        Args:
            pulse: knows when the last step was.
            look: called where no log row came for so many steps.
            every: as many.
            failed: called with an error in here.
            otherwise: called with the event's arguments after a pause that is none of the usual
                ones, which ``pulse`` is then to be told of, and where something failed.
        """
        ended, batches, norms, clock = self.ended, self.batches, self.norms, time.monotonic
        note = ended.append

        def on_step_end(args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            try:
                now, step = clock(), state.global_step
                note((step, state.epoch, now, len(batches), len(norms)))
                if not len(ended) % every:
                    look()
                if now - pulse.last < pulse.usual:
                    pulse.last, pulse.step = now, step
                    return
            except Exception as error:
                failed(error)
            otherwise(args, state, control)

        return on_step_end

    def forget(self) -> None:
        """Let go of all steps that are done."""
        if self.ended:
            *_, batches, norms = self.ended[-1]
            del self.batches[:batches], self.norms[:norms]
            self.ended.clear()
