"""SFT105 loss-spike: the train loss jumps far above its neighbours and comes back.

A spike is up to three train rows in a row that stand above the median of the calm rows before them
by ten units of their noise, by three times the largest other rise of the whole run, by half of that
median and by a tenth of the loss the run started with; and the three rows after it are back. The
run's own tail is the bar: noise with heavy tails brings its next largest rise along, a spike has
none near it. One or two are info; three make a warning.

Spikes at the epochs' edges, or at equal distances, come from the order of the data (a short last
batch, rows grouped by length, a bad batch that returns every epoch). They stay info unless they are
above twice the loss the run started with. A loss that climbs and stays is SFT102 or SFT104.

Cannot see a spike that a mean over many steps hides (logging_steps), one before the learning rate
has stopped climbing, nor tell a bad batch from a step too far by the curve alone.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 121):
...     loss = 2.0 - 0.005 * step + 0.04 * (step % 3)
...     row = {"step": step, "loss": 7.0 if step in (40, 61, 100) else loss}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
43 SFT105 info 40
103 SFT105 warning 40

References:
    Chowdhery et al. (2022, PaLM, arXiv 2204.02311), section 5.1: spikes at irregular steps though
    the gradient was clipped; restarting 100 steps earlier and skipping the batches helped;
    Takase et al. (2023, arXiv 2312.16903): spikes come from large gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sftdiag.detectors._spikes import (
    OPENING_ROWS,
    TAIL_FACTOR,
    Spike,
    SpikeFinder,
    starting_loss,
)
from sftdiag.detectors.base import Detector, Skip, too_few, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.noise import median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

REPEATED = 3
"""Separate spikes that make a warning."""

MOST_OFTEN = 30
"""Not more than one spike in so many rows: what comes more often is a kind of row in the data."""

LONG_PAST = 200
"""Rows since the last spike before it is over, and as many as the run had until then: the next
spike of a run that returns to them comes within that."""

MAX_SPIKES = 32
"""Spikes kept; later ones replace the oldest."""

EQUAL_DISTANCE = 0.05
"""Distances between spikes that differ by less than this share (or by 2 rows) are equal."""

HUGE = 2.0
"""Times the starting loss, above which spikes at edges or equal distances are a warning too."""


class LossSpikeDetector(Detector):
    """Fires at the first spike and rises at the third; resolves when it is long past."""

    code: ClassVar[str] = "SFT105"
    name: ClassVar[str] = "loss-spike"
    severity: ClassVar[Severity] = Severity.WARNING

    def __init__(self) -> None:
        self._finder = SpikeFinder()
        self._spikes: list[Spike] = []

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or signals.objective is not None or signals.lost:
            return ()
        loss = record.metrics["loss"]
        spike = self._finder.take(signals, loss, record.step)
        if spike is None:
            return self._resolve(record.step) if self._active is not None else ()
        self._spikes = [*self._spikes[-MAX_SPIKES + 1 :], spike]
        return self._tell(signals, record.step)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        return self._active is None and self._finder.passes(signals, rows)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._finder.take_all(rows)

    def _standing(self) -> list[Spike]:
        """Return the spikes that still stand out of the run's tail."""
        return [spike for spike in self._spikes if spike.rise > TAIL_FACTOR * self._finder.largest]

    def _tell(self, signals: Signals, step: int) -> Sequence[Detection]:
        spikes = self._standing()
        if not spikes:
            return ()
        distance = _equal_distance(spikes)
        edges = sum(spike.edge for spike in spikes)
        by_order = distance is not None or 2 * edges > len(spikes)
        huge = sum(spike.loss > HUGE * starting_loss(signals) for spike in spikes) >= REPEATED
        severity = Severity.INFO
        if (
            len(spikes) >= REPEATED
            and len(spikes) * MOST_OFTEN <= self._finder.rows
            and (huge or not by_order)
        ):
            severity = Severity.WARNING
        if self._active is not None:
            severity = max(severity, self._active.severity)
        self._active = Detection(
            self.code,
            self.name,
            severity,
            step,
            spikes[0].step,
            "loss",
            _evidence(signals, spikes, distance, edges),
            variant="once" if len(spikes) == 1 else "default",
        )
        return (self._active,)

    def _resolve(self, step: int) -> Sequence[Detection]:
        """Let go of spikes that are long past, or that the run's tail has caught up with."""
        if self._active is None:
            return ()
        needed = REPEATED if self._active.severity is Severity.WARNING else 1
        since = self._finder.rows - self._spikes[-1].row
        if since < max(LONG_PAST, self._spikes[-1].row) and len(self._standing()) >= needed:
            return ()
        self._spikes.clear()
        return self._end(step)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        return too_few(self._finder.rows, OPENING_ROWS + 1)


def _equal_distance(spikes: Sequence[Spike]) -> int | None:
    """Return the rows between spikes that lie at equal distances, or None."""
    gaps = [after.row - before.row for before, after in pairwise(spikes)]
    if len(gaps) < REPEATED - 1:
        return None
    middle = median(gaps)
    allowed = max(2.0, EQUAL_DISTANCE * middle)
    return round(middle) if all(abs(gap - middle) <= allowed for gap in gaps) else None


def _evidence(
    signals: Signals, spikes: Sequence[Spike], distance: int | None, edges: int
) -> dict[str, Scalar]:
    largest = max(spikes, key=lambda spike: spike.rise)
    rate, peak = signals.learning_rate, signals.peak_learning_rate
    half = len(spikes) // 2
    early, late = spikes[:half], spikes[-half:] if half else []
    return {
        "spikes": len(spikes),
        "first_step": spikes[0].step,
        "last_step": spikes[-1].step,
        "loss": largest.loss,
        "largest_step": largest.step,
        "level": largest.level,
        "single": sum(spike.rows == 1 for spike in spikes),
        "edges": edges,
        "distance": distance,
        "early_rise": max((spike.rise for spike in early), default=None),
        "late_rise": max((spike.rise for spike in late), default=None),
        "rate_share": rate / peak if rate is not None and peak else None,
        "epoch": signals.epoch,
    }
