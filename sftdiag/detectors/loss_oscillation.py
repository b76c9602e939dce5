"""SFT103 loss-oscillation: the training loss swings, and more than the data make it.

Looks at the last 32 train rows, detrended by a straight line. Their spread, as a share of the loss,
is compared with the calmest such window before: swings that have grown to three times of it, and
have lasted for a second window, are told as info. A curve alone proves nothing, since other data
spread wider too; it becomes a warning only with evidence beyond the curve: the gradient norm swings
in phase with the loss and has grown with it, while the rate is no small part of its peak and the
loss is no lower than it was. A loss that swings around what a blind guess costs is the other case:
a guess is steady, so the model is thrown from one wrong answer to another.

The note ``length-grouping`` says that the loss follows a saw-tooth of 50 optimizer steps, as
transformers' grouping by length makes it: normal, and often taken for a swing.

Cannot see a swing that is there from the first rows and below a blind guess (length grouping, batch
size 1 and a rate that is too high look alike), nor one that is faster than the log's interval.

>>> from math import sin
>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 201):
...     wave = sin(step * 0.7) * (0.3 if step > 100 else 0.01)
...     row = {"step": step, "loss": 2.0 + 2 * wave, "grad_norm": 1.0 + 2 * wave}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
152 SFT103 info 121
200 SFT103 warning 121

References:
    Cohen et al. (2021, arXiv 2103.00065): losses of healthy runs are not monotone on short scales,
    so an oscillation alone is no fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import isfinite

from sftdiag.detectors._saw_tooth import KEPT_ROWS, SawTooth
from sftdiag.detectors._swings import EVERY, GUESS_LOOKS, LOOKS, WINDOW, Look, Past, Streaks
from sftdiag.detectors.base import Detector, Skip, too_few, unusable_train_loss
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

SCALED = 0.5
"""Share of the level below which an evaluation says that the model does not guess: the train loss
is a sum there, or otherwise on another scale (SFT111, SFT204)."""


class LossOscillationDetector(Detector):
    """Info when the swing has grown, a warning with evidence; resolves when it is calm again."""

    code: ClassVar[str] = "SFT103"
    name: ClassVar[str] = "loss-oscillation"
    severity: ClassVar[Severity] = Severity.WARNING
    notes: ClassVar[tuple[str, ...]] = ("length-grouping",)

    def __init__(self) -> None:
        self._saw_tooth = SawTooth()
        self._steps: deque[int] = deque(maxlen=KEPT_ROWS)
        self._losses: deque[float] = deque(maxlen=KEPT_ROWS)
        self._norms: deque[float | None] = deque(maxlen=WINDOW)
        self._since = 0
        self._past = self._past_then = Past()
        self._streaks = self._streaks_then = Streaks()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or signals.objective is not None or signals.lost:
            return ()
        self._steps.append(record.step)
        self._losses.append(record.metrics["loss"])
        norm = record.metrics.get("grad_norm")
        self._norms.append(norm if norm is not None and isfinite(norm) else None)
        note: Sequence[Detection] = ()
        if record.step >= self._saw_tooth.due:
            note = self._saw_tooth.note(self.code, record, self._steps, self._losses)
        self._since += 1
        if self._since < EVERY or len(self._steps) < WINDOW:
            return note
        self._since = 0
        look = Look([*self._losses][-WINDOW:], [*self._norms])
        if look.level <= 0.0:
            return note
        found = self._judge(signals, record.step, look)
        self._past.add(look, signals.context.chance_loss)
        return [*note, *found] if note else found

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if not self._saw_tooth.passes(rows, self._steps, self._losses):
            return False
        # Of those before, only a window's: each that is touched costs a trip to memory.
        last = [*islice(reversed(self._losses), WINDOW)]
        losses, norms = [*reversed(last), *rows.losses], [*self._norms, *_norms(rows)]
        before, norms_before = len(last) - WINDOW, len(self._norms) - WINDOW
        past, streaks = self._past.copy(), self._streaks
        rates, peak = rows.get("learning_rate"), signals.peak_learning_rate
        for end in self._looks(rows):
            start, of_norms = before + end, norms_before + end
            look = Look(losses[start : start + WINDOW], norms[of_norms : of_norms + WINDOW])
            if look.level <= 0.0:
                return False
            rate = signals.learning_rate if rates is None else rates[end - 1]
            if rates is not None and past.widened(look, signals.context.chance_loss):
                peak = max(peak or 0.0, *rates[:end])
            streaks = streaks.after(look, past, signals.context, rate, peak)
            if streaks.tell_something(active=self._active is not None):
                return False
            past.add(look, signals.context.chance_loss)
        self._past_then, self._streaks_then = past, streaks
        return True

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        looks = self._looks(rows)
        self._saw_tooth.take()
        self._steps.extend(rows.steps)
        self._losses.extend(rows.losses)
        self._norms.extend(_norms(rows))
        self._past, self._streaks = self._past_then, self._streaks_then
        self._since = rows.count - looks[-1] if looks else self._since + rows.count

    def _looks(self, rows: Rows) -> range:
        """Return after how many of the rows it looks."""
        first = max(1, EVERY - self._since, WINDOW - len(self._steps))
        return range(first, rows.count + 1, EVERY)

    def _judge(self, signals: Signals, step: int, look: Look) -> Sequence[Detection]:
        rate, peak = signals.learning_rate, signals.peak_learning_rate
        self._streaks = seen = self._streaks.after(look, self._past, signals.context, rate, peak)
        if self._active is not None and seen.still >= LOOKS:
            return self._end(step)
        if seen.guesses >= GUESS_LOOKS and not _is_on_another_scale(signals, look):
            return self._fire(signals, step, look, Severity.WARNING, "guess")
        if seen.proved >= LOOKS:
            return self._fire(signals, step, look, Severity.WARNING, "default")
        if seen.wide >= LOOKS and self._active is None:
            return self._fire(signals, step, look, Severity.INFO, "curve")
        return ()

    def _fire(
        self, signals: Signals, step: int, look: Look, severity: Severity, variant: str
    ) -> Sequence[Detection]:
        if self._active is not None and self._active.severity >= severity:
            return ()
        rate, peak = signals.learning_rate, signals.peak_learning_rate
        first = self._active.onset_step if self._active is not None else self._steps[-WINDOW]
        self._active = Detection(
            self.code,
            self.name,
            severity,
            step,
            first,
            "loss",
            {
                "loss": look.level,
                "spread": look.spread,
                "spread_before": self._past.calm.spread if self._past.calm is not None else None,
                "correlation": look.gradient[1],
                "peak_learning_rate": peak,
                "rate_share": rate / peak if peak and rate is not None else None,
                "chance_loss": signals.context.chance_loss,
            },
            variant=variant,
        )
        self._streaks.still = 0
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        return too_few(signals.train_rows, WINDOW)


def _is_on_another_scale(signals: Signals, look: Look) -> bool:
    points = signals.main_evaluations
    return bool(points) and points[-1].loss < SCALED * look.level


def _norms(rows: Rows) -> Sequence[float | None]:
    return rows.get("grad_norm") or [None] * rows.count
