"""SFT118 warmup-to-the-end: the learning rate rises in equal steps until the run is nearly over.

A rate that begins at 0 and rises by the same amount a step is a linear warm-up. Where it still does
so past four fifths of the planned steps, the warm-up was planned for a longer run: the mean rate is
half of what was reached, the peak that was asked for hardly acts or never, and the decay, with
which a loss falls most, does not come. A rate has no noise, so the line itself is proof. Such a run
learns, if less than its steps could: a note, as of the labelled runs that have it those that
learned are healthy.

Before step 1 the check of the arguments says it (SFT508); where that stands nothing is said again:
this is for logs that have none.

Cannot see: a log without a plan (a plain table), a warm-up that is no line, and one that the
arguments alone know to be too long.

>>> from sftdiag.context import RunContext
>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor(RunContext(max_steps=300))
>>> for step in range(10, 301, 10):
...     row = {"step": step, "loss": 2.0 - step / 300, "learning_rate": 1e-7 * step}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
240 SFT118 info 10

References:
    transformers.optimization: every linear warm-up is step / num_warmup_steps.
    Hägele et al. 2024, arXiv 2405.18392: what the decay of the rate is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._warmup_line import ROWS, is_a_line, is_late
from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

SAID_BEFORE = "SFT508"
"""The check of the arguments that says the same before step 1."""


class WarmupToTheEndDetector(Detector):
    """Fires once; its numbers follow the rate as long as it rises."""

    code: ClassVar[str] = "SFT118"
    name: ClassVar[str] = "warmup-to-the-end"
    severity: ClassVar[Severity] = Severity.INFO
    seldom: ClassVar[bool] = True
    rises_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._active = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        rise, rate, steps = signals.rate_rise, signals.learning_rate, signals.max_steps
        if rise is None or rate is None or rate <= rise.peak or not is_late(record.step, steps):
            return ()
        if SAID_BEFORE in signals.warned:
            return ()
        if signals.train_rows < ROWS or not is_a_line(signals, record.step, rate):
            return ()
        asked = signals.context.learning_rate
        below = asked is not None and rate < asked
        numbers: dict[str, Scalar] = {
            "last": record.step,
            "steps": steps,
            "part": signals.progress,
            "rate": rate,
        }
        if below:
            numbers["asked"] = asked
        first = signals.first_step
        self._active = Detection(
            self.code,
            self.name,
            Severity.INFO,
            record.step,
            first if first is not None else record.step,
            "learning_rate",
            numbers,
            variant="below" if below else "default",
        )
        return (self._active,)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        rates = rows.get("learning_rate")
        if rates is None or not is_late(rows.steps[-1], signals.max_steps):
            return True
        return max(rates) <= (signals.peak_learning_rate or 0.0)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if self._active is not None else Skip("no_learning_rate")
