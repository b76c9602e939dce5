"""SFT104 loss-divergence: the training loss has blown up above where it started and stays there.

A comparison of windows as in SFT102, with a last window that lies clearly above the first one:
everything learned is lost, and more. A warning at first where the height is one that a saw-tooth or
a window of odd rows could reach; an error when it is beyond that, leaps, or lasts a window more.
A leap to a multiple of all rows so far needs no window: two to four rows are enough, from the
second row of the log on; where the first row is the mean of a leap (``first_row``), the second row
without a gradient.

Cannot see a blow-up that is over within a window, nor tell a learning rate from bad data.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 101):
...     loss = 3.0 - 0.02 * step if step <= 50 else 9.0
...     for finding in monitor.feed_entry({"step": step, "loss": loss}):
...         if finding.code == "SFT104":
...             print(step, finding.code, finding.severity.label, finding.onset_step)
53 SFT104 error 50
>>> monitor = Monitor()
>>> for step, loss in enumerate((1.6, 11.8, 10.4, 10.4, 10.3), start=1):
...     for finding in monitor.feed_entry({"step": step, "loss": loss}):
...         if finding.code == "SFT104":
...             print(step, finding.code, finding.severity.label, finding.onset_step)
4 SFT104 error 1

References:
    Chowdhery et al. (2022, arXiv 2204.02311, section 5.1): restart before it and skip some batches.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._first_row import is_dead
from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.train_loss_rebound import BACK, bar, evidence, learns, rate_and_epoch, skip
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.climb import ABOVE_START, WINDOW_BLOCKS, WINDOW_STEPS, Climb, climb_of
from sftdiag.signals.noise import cautious_noise, median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

SUDDEN_RECORDS = 3
"""Records in a row that are enough where each lies beyond BEYOND_GROUPING and SUDDEN_NOISE."""

SUDDEN_NOISE = 10.0
"""Height over the loss before in units of its noise: Student's t with 3 degrees reaches it once in
5,000 rows, and three times in a row never."""

SUDDEN_BEFORE = 10
"""Records before the leap whose noise is taken."""

LEAP_RECORDS = 5
"""Records in a row that are enough above ABOVE_START, when their median is the highest loss so far:
a saw-tooth, heavy tails and spikes of three rows have shown their height before."""

LEAP_STEPS = 2 * WINDOW_STEPS
"""Steps before the leap: two periods of length grouping, so that its saw-tooth has been seen."""

BEYOND_GROUPING = 2.0
"""Last window over the start that no length grouping makes: its saw-teeth reach 1.5."""

STAYS = 0.9
"""Share of the loss without a gradient, below which a run that blew up so has learned again."""

AGAIN = 1.5
"""Last window over the lowest block from which a run that has blown up once is blowing up again."""


class LossDivergenceDetector(Detector):
    """Fires when the last window lies above the start; resolves when it is back near the lowest."""

    code: ClassVar[str] = "SFT104"
    name: ClassVar[str] = "loss-divergence"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._blown = False
        self._start = self._start_then = 0.0
        self._held = 0
        self._highest = 0.0
        self._first_step: int | None = None
        self._leapt_from: float | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None:
            return ()
        self._see_highest(signals, record)
        leapt: Sequence[Detection] = ()
        if signals.leap is not None:
            leapt = self._leap(signals, record.step)
        if not leapt and signals.train_rows == 2:
            leapt = self._in_the_first_row(signals, record)
        if leapt:
            return leapt
        if not signals.block_closed:
            low = record.kind == TRAIN and record.metrics["loss"] <= ABOVE_START * self._start
            return () if low else self._sudden(signals, record)
        few = len(signals.block_losses) < 2 * WINDOW_BLOCKS
        if signals.first_loss is None or (few and self._leapt_from is None):
            return ()
        start = self._leapt_from
        if start is None:
            start = _start(signals, signals.block_losses)
        height = ABOVE_START * start
        self._start = start
        if self._active is not None:
            return self._follow(signals, record.step)
        if sudden := self._sudden(signals, record):
            return sudden
        if self._blown:
            height = min(height, AGAIN * min(signals.block_losses))
        climb = self._climb(signals, height)
        if climb is None:
            return ()
        self._blown, self._held = True, 0
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR if climb.recent > BEYOND_GROUPING * start else Severity.WARNING,
            record.step,
            climb.lowest_step,
            "loss",
            {**evidence(signals, climb), "loss_start": start},
        )
        return (self._active,)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if self._first_step is None:
            return False
        self._start_then = start = self._start
        if rows.closings and (self._active is not None or self._blown):
            return False
        for closing in rows.closings:
            if len(closing.losses) >= 2 * WINDOW_BLOCKS:
                self._start_then = _start(signals, closing.losses)
                start = min(start or self._start_then, self._start_then)
        # The first block may hold rows from before these, the first of merged ones too.
        high = max([rows.high, *(max(closing.new) for closing in rows.closings)])
        waits = self._active is not None or not start
        return waits or high <= ABOVE_START * start

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        before = [loss for _, loss in signals.recent][-LEAP_RECORDS:]
        self._highest = max(self._highest, *before, *rows.losses[:-LEAP_RECORDS])
        self._start = self._start_then

    def _leap(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a leap to a multiple of all rows so far."""
        leap = signals.leap
        if leap is None or self._active is not None:
            return ()
        self._blown = True
        self._start = self._leapt_from = leap.highest
        numbers = {
            "loss_start": leap.highest,
            "loss_lowest": leap.highest,
            "loss_recent": leap.level,
            **rate_and_epoch(signals),
        }
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            step,
            leap.from_step,
            "loss",
            numbers,
            variant="leap",
        )
        return (self._active,)

    def _in_the_first_row(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look for a first row that no start of a run has, behind which no weight moves."""
        if not is_dead(signals, record):
            return ()
        loss, first, steps = record.metrics["loss"], signals.first_loss, signals.first_step
        self._blown = True
        self._start = self._leapt_from = STAYS * loss
        numbers = {
            "loss_start": first,
            "loss_lowest": first,
            "loss_recent": loss,
            "grad_norm": record.get("grad_norm"),
            **rate_and_epoch(signals),
        }
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            steps if steps is not None else record.step,
            "loss",
            numbers,
            variant="first_row",
        )
        return (self._active,)

    def _climb(self, signals: Signals, height: float) -> Climb | None:
        """Return the climb to a last window above this height, or None."""
        if signals.block_losses[-1] <= height:
            return None
        climb = climb_of(signals)
        if (
            climb is None
            or learns(climb.lowest, climb.recent, climb.accuracy_gain)
            or climb.rise <= bar(climb)
            or climb.recent <= height
        ):
            return None
        if climb.recent > BEYOND_GROUPING * self._start:
            return climb
        # What a saw-tooth could do within its period must hold over whole periods.
        climb = climb_of(signals, WINDOW_STEPS)
        if climb is None or climb.rise <= bar(climb) or climb.recent <= height:
            return None
        return climb

    def _see_highest(self, signals: Signals, record: LogRecord) -> None:
        """Keep the highest loss of the rows before the last LEAP_RECORDS."""
        if record.kind != TRAIN:
            return
        if self._first_step is None:
            self._first_step = record.step
        recent = signals.recent
        if len(recent) > LEAP_RECORDS and recent[-LEAP_RECORDS - 1][1] > self._highest:
            self._highest = recent[-LEAP_RECORDS - 1][1]

    def _sudden(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look for a leap that needs no window: some records, each far above all before."""
        if self._active is not None or record.kind != TRAIN or not self._start:
            return ()
        if record.metrics["loss"] <= ABOVE_START * self._start:
            return ()
        recent = [loss for _, loss in signals.recent]
        last = recent[-SUDDEN_RECORDS:]
        if min(last, default=0.0) <= BEYOND_GROUPING * self._start:
            last = recent[-LEAP_RECORDS:]
            if min(last) <= ABOVE_START * self._start or median(last) <= self._highest:
                return ()
            if self._first_step is None or record.step - self._first_step < LEAP_STEPS:
                return ()
        before, lowest = recent[: -len(last)], min(last)
        if len(before) < SUDDEN_BEFORE:
            return ()
        level, noise = median(before), cautious_noise(before)
        if lowest <= level + SUDDEN_NOISE * noise:
            return ()
        before_it = signals.columns.accuracies[0]
        accuracy = record.finite("mean_token_accuracy")
        gain = accuracy - before_it if accuracy is not None and before_it is not None else None
        if learns(level, median(last), gain):
            return ()
        self._blown = True
        numbers = {
            "loss_start": self._start,
            "loss_lowest": level,
            "loss_recent": median(last),
            "noise": noise,
        }
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            next((b.last_step for b in reversed(signals.blocks) if b.loss < lowest), record.step),
            "loss",
            {**rate_and_epoch(signals), **numbers},
        )
        return (self._active,)

    def _follow(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Resolve when the last window is back near the lowest; an error once it has lasted."""
        seen = self._active
        if seen is not None and seen.severity is Severity.WARNING:
            climb = self._climb(signals, ABOVE_START * self._start)
            self._held = self._held + 1 if climb is not None else 0
            if climb is not None and (
                self._held >= WINDOW_BLOCKS or climb.recent > BEYOND_GROUPING * self._start
            ):
                self._active = seen.replace(step=step, severity=Severity.ERROR)
                return (self._active,)
        if median([loss for _, loss in signals.recent][-SUDDEN_RECORDS:]) > self._start:
            return ()
        climb = climb_of(signals)
        if self._active is None or (climb is not None and climb.rise > BACK * bar(climb)):
            return ()
        return self._end(step)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return skip(signals)


def _start(signals: Signals, losses: Sequence[float]) -> float:
    """Return the loss that the run started with, going by its blocks."""
    return max(signals.first_loss or 0.0, median(losses[:WINDOW_BLOCKS]))
