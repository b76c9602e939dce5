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

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.noise import cautious_noise, median
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals import LARGEST_LOSS, RECENT, Signals
from sftdiag.values import Value

OPENING_ROWS = 20
"""Rows at the start that are never told: the loss is still falling from its first values."""

CALM_ROWS = RECENT - 1
"""Calm rows whose median is the level: the window of Signals less the row that is judged."""

FEW_CALM_ROWS = 8
"""Calm rows from which the level is one; fewer follow a loss that has climbed and stayed."""

NOISE_FACTOR = 10.0
"""Noise units above the level; the factor of the prototype on 115 public runs."""

TAIL_FACTOR = 3.0
"""Times the largest other rise of the run. With a tail as heavy as Student's t with 3 degrees the
chance that the third largest value is three times the fourth is 3 ** -9 at any look."""

LEVEL_SHARE = 0.5
"""Rise as a share of the level: a smaller one is no spike to the eye."""

START_SHARE = 0.1
"""Rise as a share of the starting loss: at a loss near 0 every odd row is many times the level."""

START_ROWS = 5
"""First rows whose median is the starting loss."""

MAX_ROWS = 3
"""Rows in a row above the bar; a fourth makes it a climb."""

BACK_ROWS = 3
"""Rows in a row that must be back below the bar, their median below half of it."""

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


class _Spike(Value):
    """A spike: the number of its first row, its first step, and how far it rose."""

    row: int
    step: int
    rows: int
    loss: float
    level: float
    edge: bool

    @property
    def rise(self) -> float:
        """How far the loss stood above the level before."""
        return self.loss - self.level


class _Rising:
    """A spike in the making."""

    def __init__(self, row: int, step: int, level: float, bar: float) -> None:
        self.row, self.step, self.level, self.bar = row, step, level, bar
        self.high: list[float] = []
        self.in_a_row = 0
        self.back: list[float] = []
        self.edge = False


class LossSpikeDetector(Detector):
    """Fires at the first spike and rises at the third; resolves when it is long past."""

    code: ClassVar[str] = "SFT105"
    name: ClassVar[str] = "loss-spike"
    severity: ClassVar[Severity] = Severity.WARNING

    def __init__(self) -> None:
        self._calm: deque[float] = deque(maxlen=CALM_ROWS)
        self._largest = 0.0
        self._rising: _Rising | None = None
        self._spikes: list[_Spike] = []
        self._rows = 0
        self._epoch: int | None = None
        self._edge_row = -BACK_ROWS

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or signals.objective is not None or record.loss_is_lost():
            return ()
        loss = record.metrics["loss"]
        if abs(loss) > LARGEST_LOSS:
            return ()
        self._rows += 1
        self._see_edge(signals.epoch)
        spike = self._take(signals, loss, record.step)
        if spike is None:
            return self._resolve(record.step)
        self._spikes = [*self._spikes[-MAX_SPIKES + 1 :], spike]
        return self._tell(signals, record.step)

    def _see_edge(self, epoch: float | None) -> None:
        """Remember the row at which an epoch began; a spike one row beside it is at the edge."""
        if epoch is None:
            return
        if self._epoch is not None and int(epoch) != self._epoch:
            self._edge_row = self._rows
        self._epoch = int(epoch)

    def _take(self, signals: Signals, loss: float, step: int) -> _Spike | None:
        """Take in the next loss; return the spike that it has just confirmed."""
        rising = self._rising
        if rising is not None:
            return self._follow(rising, loss)
        calm = self._calm
        if len(calm) < FEW_CALM_ROWS:
            calm.append(loss)
            return None
        level = median(calm)
        rise = loss - level
        if rise > self._largest:
            if rise > self._bar(signals, level) and not signals.learning_rate_rises:
                self._rising = _Rising(self._rows, step, level, self._bar(signals, level))
                self._follow(self._rising, loss)
                return None
            self._largest = rise
        calm.append(loss)
        return None

    def _bar(self, signals: Signals, level: float) -> float:
        """Return how far above the level a spike must stand."""
        if self._rows <= OPENING_ROWS or level <= 0.0:
            return LARGEST_LOSS
        return max(
            NOISE_FACTOR * cautious_noise(list(self._calm)),
            TAIL_FACTOR * self._largest,
            LEVEL_SHARE * level,
            START_SHARE * _start(signals),
        )

    def _follow(self, rising: _Rising, loss: float) -> _Spike | None:
        """Follow a spike in the making; return it once the loss is back."""
        rising.edge = rising.edge or self._rows - self._edge_row <= 1
        if loss - rising.level > rising.bar:
            rising.high.append(loss)
            rising.in_a_row += 1
            rising.back.clear()
            if rising.in_a_row > MAX_ROWS or len(rising.high) > 2 * MAX_ROWS:
                # A climb: a new level has to be found.
                self._rising = None
                self._calm.clear()
            return None
        rising.in_a_row = 0
        rising.back.append(loss)
        if len(rising.back) < BACK_ROWS:
            return None
        self._rising = None
        if median(rising.back) - rising.level > rising.bar / 2:
            self._calm.clear()
            return None
        self._calm.extend(rising.back)
        return _Spike(
            rising.row, rising.step, len(rising.high), max(rising.high), rising.level, rising.edge
        )

    def _standing(self) -> list[_Spike]:
        """Return the spikes that still stand out of the run's tail."""
        return [spike for spike in self._spikes if spike.rise > TAIL_FACTOR * self._largest]

    def _tell(self, signals: Signals, step: int) -> Sequence[Detection]:
        spikes = self._standing()
        if not spikes:
            return ()
        distance = _equal_distance(spikes)
        edges = sum(spike.edge for spike in spikes)
        by_order = distance is not None or 2 * edges > len(spikes)
        huge = sum(spike.loss > HUGE * _start(signals) for spike in spikes) >= REPEATED
        severity = Severity.INFO
        if (
            len(spikes) >= REPEATED
            and len(spikes) * MOST_OFTEN <= self._rows
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
        since = self._rows - self._spikes[-1].row
        if since < max(LONG_PAST, self._spikes[-1].row) and len(self._standing()) >= needed:
            return ()
        self._spikes.clear()
        return self._end(step)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        if self._rows <= OPENING_ROWS:
            return Skip("few_points", {"points": self._rows, "needed": OPENING_ROWS + 1})
        return None


def _start(signals: Signals) -> float:
    """Return the loss the run started with."""
    return abs(median(signals.opening[:START_ROWS])) if signals.opening else 0.0


def _equal_distance(spikes: Sequence[_Spike]) -> int | None:
    """Return the rows between spikes that lie at equal distances, or None."""
    gaps = [after.row - before.row for before, after in pairwise(spikes)]
    if len(gaps) < REPEATED - 1:
        return None
    middle = median(gaps)
    allowed = max(2.0, EQUAL_DISTANCE * middle)
    return round(middle) if all(abs(gap - middle) <= allowed for gap in gaps) else None


def _evidence(
    signals: Signals, spikes: Sequence[_Spike], distance: int | None, edges: int
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
