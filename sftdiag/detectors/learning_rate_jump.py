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

from sftdiag.context import RunContext
from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.learning_rate_restarted import LEAST_MOVE, NEVER_RISES
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import FAR
from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.schedule import RateRise
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
    rises_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._fired = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        rise, rate = signals.rate_rise, signals.learning_rate
        if self._fired or rise is None or rate is None:
            return ()
        if not _jumps(signals.context, record.step, rate, rise):
            return ()
        self._fired = True
        return (self._found(signals, record.step, rise),)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        rates, asked = rows.get("learning_rate"), signals.context.learning_rate
        if rates is None or self._fired or asked is None:
            return True
        return max(rates) < JUMP * max(asked, signals.peak_learning_rate or 0.0)

    def _found(self, signals: Signals, step: int, rise: RateRise) -> Detection:
        asked, rate = signals.context.learning_rate or 0.0, signals.learning_rate or 0.0
        peak = max(asked, rise.peak)
        return Detection(
            self.code,
            self.name,
            Severity.ERROR if rate >= FAR * peak else Severity.WARNING,
            step,
            rise.step,
            "learning_rate",
            {
                "step_before": rise.step,
                "rate_before": rise.rate,
                "rate_after": rate,
                "peak": peak,
                "times": rate / peak,
                "asked": asked,
                "scheduler": signals.context.lr_scheduler_type,
            },
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if signals.learning_rate is None:
            return Skip("no_learning_rate")
        asked = signals.context.learning_rate
        if self._fired or (asked and (signals.peak_learning_rate or 0.0) >= REACHED * asked):
            return None
        return Skip("no_planned_rate")


def _jumps(known: RunContext, step: int, rate: float, rise: RateRise) -> bool:
    asked = known.learning_rate
    if not asked or rate < JUMP * max(asked, rise.peak):
        return False
    resumed = any(rise.step <= at < step for at in known.resumed_steps or ())
    if rise.peak < REACHED * asked or rise.goes_on or resumed or step <= rise.step:
        return False
    # What differs from a schedule's name stands behind a comma.
    scheduler = (known.lr_scheduler_type or "").split(",")[0]
    came_down = rise.rate < (1.0 - LEAST_MOVE) * rise.peak
    return scheduler in PLANNED or (came_down and scheduler != GREEDY)
