"""SFT116 learning-rate-jump: the learning rate leaves its schedule upwards.

Within one record the rate rises to three times the highest that was asked for and that the run had
so far, or more. No schedule of transformers does that: each is a share of the peak, restarts lead
back to it, and a warm-up climbs to it. The rate has no noise, so one record is proof, before the
loss shows what the steps did. From ten times on it is an error: sweeps find the best rate of a
method within an order of magnitude, so that what lies one above the run's own peak is outside of
it, wherever in it the peak was. Where every step is seen, the rate is the one that the optimizer
steps with, also where something else than the schedule has set it.

Speaks only where the peak that was asked for is known and the run has reached it; of a schedule of
the user's own only where the rate had come down from its peak, since stages may climb. A resume
may begin a new schedule, and says so by its step.

Cannot see: a jump that stays below the peak, and one in a log whose settings are not known.

>>> from sftdiag.context import RunContext
>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor(RunContext(lr_scheduler_type="linear", learning_rate=1e-4))
>>> for step in range(1, 101):
...     rate = 1e-4 * (100 - step) / 100 * (30 if 60 < step <= 65 else 1)
...     for finding in monitor.feed_entry({"step": step, "loss": 9 / step, "learning_rate": rate}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
61 SFT116 error 60

References:
    transformers.optimization: every factor is 1 at most.
    PaLM (Chowdhery et al. 2022, arXiv 2204.02311): what steps that were too large did is undone by
    going back to a checkpoint before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.learning_rate_restarted import LEAST_MOVE, NEVER_RISES
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import FAR
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

JUMP = 3.0
"""Times the peak: half an order of magnitude, which sweeps tell apart from the best rate."""

REACHED = 0.5
"""Share of the rate asked for that the log must have shown: an optimizer of the user's own has a
rate that the arguments do not name."""

PLANNED = NEVER_RISES | {"cosine_with_restarts"}
"""transformers' schedules that are never above their peak: all but greedy."""

GREEDY = "greedy"
"""Its rate rises as long as the metric gets better."""


class LearningRateJumpDetector(Detector):
    """Fires once: that the rate is back does not undo the steps."""

    code: ClassVar[str] = "SFT116"
    name: ClassVar[str] = "learning-rate-jump"
    severity: ClassVar[Severity] = Severity.ERROR
    seldom: ClassVar[bool] = True

    def __init__(self) -> None:
        self._fired = False
        self._step = -1
        self._rate: float | None = None
        self._rose = False
        self._top = 0.0

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        rate = record.metrics.get("learning_rate") if record.kind == TRAIN else None
        if rate is None or not isfinite(rate) or rate < 0.0:
            return ()
        found: Sequence[Detection] = ()
        if not self._fired and self._jumps(signals, record.step, rate):
            self._fired = True
            found = (self._found(signals, record.step, rate),)
        self._go_on(record.step, rate)
        return found

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        rates, asked = rows.get("learning_rate"), signals.context.learning_rate
        if rates is None or self._fired or asked is None:
            return True
        return max(rates) < JUMP * max(asked, self._top)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        rates = rows.get("learning_rate")
        if rates is not None:
            self._top = max(self._top, *rates[:-1])
            self._rate = rates[-2]
            self._go_on(rows.steps[-1], rates[-1])

    def _go_on(self, step: int, rate: float) -> None:
        self._rose = self._rate is not None and rate > self._rate
        self._step, self._rate, self._top = step, rate, max(self._top, rate)

    def _jumps(self, signals: Signals, step: int, rate: float) -> bool:
        known = signals.context
        asked, last = known.learning_rate, self._rate
        if not asked or last is None or rate < JUMP * max(asked, self._top):
            return False
        resumed = any(self._step <= at < step for at in known.resumed_steps or ())
        if self._top < REACHED * asked or self._rose or resumed or step <= self._step:
            return False
        # What differs from a schedule's name stands behind a comma.
        scheduler = (known.lr_scheduler_type or "").split(",")[0]
        came_down = last < (1.0 - LEAST_MOVE) * self._top
        return scheduler in PLANNED or (came_down and scheduler != GREEDY)

    def _found(self, signals: Signals, step: int, rate: float) -> Detection:
        asked = signals.context.learning_rate or 0.0
        peak = max(asked, self._top)
        return Detection(
            self.code,
            self.name,
            Severity.ERROR if rate >= FAR * peak else Severity.WARNING,
            step,
            self._step,
            "learning_rate",
            {
                "step_before": self._step,
                "rate_before": self._rate,
                "rate_after": rate,
                "peak": peak,
                "times": rate / peak,
                "asked": asked,
                "scheduler": signals.context.lr_scheduler_type,
            },
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if self._rate is None:
            return Skip("no_learning_rate")
        asked = signals.context.learning_rate
        if self._fired or (asked and self._top >= REACHED * asked):
            return None
        return Skip("no_planned_rate")
