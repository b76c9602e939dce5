"""Watchdog: a thread that reads a clock, and says so where the run stands still.

It touches nothing of the run: neither the model, the device nor a random number. Where the trainer
stands is told by the names of the functions that its thread is in. Of a run that an error ends no
event says so: it is the one that sees it, and has the trainer left as it was.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

LEAST = 300.0
"""Seconds without a sign of life before anything is said: a save of a large model takes minutes."""

FACTOR = 20.0
"""Times the longest pause so far: evaluations and saves have shown theirs."""

BEATS = 10
"""Signs of life before a pause says anything: the first steps compile."""

LOOKS = 30
"""Looks at the clock in the shortest time that counts."""

TRAINS = ("_inner_training_loop", "train")
"""Functions that a trainer is in while it trains; a run that an error has ended is in none."""

DATA, RANKS = 1, 2
"""Where the trainer stands, as :data:`sftdiag.records.STALL_PLACES` names it."""

_IN_THE_LOADER = ("torch.utils.data", "datasets")
_IN_A_COLLECTIVE = ("torch.distributed",)


class Watchdog:
    """Watches one ``train()``.

    Args:
        tell: called from the watchdog's thread with the row of a stall.
        clock: seconds that only go forward.
        leave: called once, from that thread, where a run is over and no event said so.
        watches: returns whether the trainer still has the callback.

    Attributes:
        last: when the last sign of life was.
        step: steps done then.
        usual: pauses below it say nothing: of such a sign of life it is enough to note these two.
    """

    def __init__(
        self,
        tell: Callable[[Mapping[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[], None] = lambda: None,
        watches: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tell, self._clock = tell, clock
        self._leave, self._watches = leave, watches
        # Whoever comes first ends it: the run's next start or the thread.
        self._ending = threading.Lock()
        self._beats = 0
        self._longest = 0.0
        self.last = clock()
        self.step = 0
        self.usual = 0.0
        self._told: Mapping[str, Any] | None = None
        self._over = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="sftdiag-watchdog", daemon=True)

    def begin(self) -> None:
        """Start the thread; the caller's is the one that is watched."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread."""
        with self._ending:
            self._over.set()

    def beat(self, step: int) -> Mapping[str, Any] | None:
        """Note a sign of life; return the row that says that a stall is over, if there was one."""
        now = self._clock()
        pause, self.last, self.step = now - self.last, now, step
        if pause > self._longest and self._beats:
            self._longest = pause
        self._beats += 1
        # Before what was told is read: a stall that is told from then on sets it to 0 again.
        self.usual = self._longest if self._beats >= BEATS else 0.0
        told, self._told = self._told, None
        return None if told is None else {**told, "step": step, "stall/over": 1}

    def look(self) -> None:
        """Look at the clock, and tell of a stall once."""
        place = standing(self._watched)
        if place is None or not self._watches():
            with self._ending:
                over = self._over.is_set()
                self._over.set()
                if not over:
                    self._leave()
            return
        seconds = self._clock() - self.last
        if self._told is not None or self._beats < BEATS:
            return
        if seconds < max(LEAST, FACTOR * self._longest):
            return
        row = {"step": self.step, "stall/seconds": seconds, "stall/usual": self._longest}
        told = {**row, "stall/place": place}
        self._told, self.usual = told, 0.0
        self._tell(told)

    def _watch(self) -> None:
        while not self._over.wait(LEAST / LOOKS):
            try:
                self.look()
            except Exception:
                self._over.set()


def standing(thread: int) -> int | None:
    """Return where a thread stands in a trainer: in its loader, in a collective, or elsewhere (0).

    None where it is in no trainer's loop.
    """
    frame = sys._current_frames().get(thread)
    place, trains = 0, False
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not place and module.startswith(_IN_THE_LOADER):
            place = DATA
        elif not place and module.startswith(_IN_A_COLLECTIVE):
            place = RANKS
        trains = trains or frame.f_code.co_name in TRAINS
        frame = frame.f_back
    return place if trains else None
