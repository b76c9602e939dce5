"""SFT202 memorization: the training loss goes to about 0 over epochs, and nothing speaks for it.

A loss near 0 means that nearly every token of every row is predicted with certainty. After more
than three passes over the rows (two, where the loss is next to nothing, or halved at the epochs'
edges) that is learning by heart, unless an evaluation falls along. One that rises is SFT201's; one
that rests far above the train loss says that only the rows are known; one that is next to nothing
itself holds the same rows, or rows whose answers are one certain token.

A log that begins later than its run, or with a mean over epochs, shows no start to compare with:
then the loss must be next to nothing, or the epochs more than anyone swept.

Cannot tell rows learned by heart from a task whose answers are one certain token, nor judge a log
without epochs.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 101):
...     row = {"step": step, "epoch": step / 20, "loss": 2.0 * 0.93**step}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
63 SFT202 warning 24

References:
    The guide's table of epochs: beyond 3 nearly every run overfits;
    Carlini et al. (2023, arXiv 2202.07646): what is repeated is what is memorised.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._eval_rise import MIN_RISE
from sftdiag.detectors._halving import Halvings
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import MOST_EPOCHS, SWEPT_EPOCHS
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

LOW_LOSS = 0.1
"""Nats: the mean token has a probability of 0.9. Healthy fine-tunes of the corpus with no more than
three epochs end above it, but for short labels."""

MANY_EPOCHS = MOST_EPOCHS + 0.1
"""Beyond the guide's most; the tenth is for epochs rounded up."""

NO_LOSS = 0.01
"""Nats: the mean token has a probability of 0.99, suspicious after two epochs."""

SOME_EPOCHS = 2.0
"""With NO_LOSS: every row was seen twice."""

SHARE_OF_START = 0.2
"""A run that starts near 0 has not memorised; labelled ones fell below a fifth of their start."""

HALVED_EDGES = 2
"""Edges in a row at which the loss halved, after which twice LOW_LOSS is low: the next is at it."""

GAP = 5.0
"""Times the train loss at which an evaluation loss rests far above it: healthy runs of the corpus
that end below LOW_LOSS have 0.5 to 4."""

JUDGED = 4
"""Evaluations from which a rise is SFT201's to tell."""

CERTAIN_START = 1.0
"""Nats: from a lower start, as ln 2 of a yes or no, unseen answers can become certain; 18 of 375
histories of small classifiers that are well began at 0.1 to 0.4 and evaluate below NO_LOSS."""

ONCE = 0.5
"""Share of the loss at the end of the first epoch that it must have fallen below since: what rows
cost that were seen once is not known by heart."""

LAST_BLOCKS = 3
"""Block means in a row that must all be low."""


class MemorizationDetector(Detector):
    """Fires once; resolves when the loss comes back up, as with new data."""

    code: ClassVar[str] = "SFT202"
    name: ClassVar[str] = "memorization"
    severity: ClassVar[Severity] = Severity.WARNING

    def __init__(self) -> None:
        self._halvings = Halvings()
        self._first_epoch: float | None = None
        self._once: float | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        train, epoch = record.kind == TRAIN, record.epoch
        if train and epoch is not None and not signals.row_lost:
            if self._first_epoch is None:
                self._first_epoch = epoch
            self._halvings.add(epoch, record.metrics["loss"])
            if self._once is None and epoch > self._first_epoch + 1.0:
                self._once = max(signals.block_losses[-LAST_BLOCKS:], default=None)
        if not signals.block_closed and (train or not self._evaluated(signals, record)):
            return ()
        # Up to there a loss is never low enough.
        if self._active is None and (signals.epoch or 0.0) <= SOME_EPOCHS:
            return ()
        if self.skip(signals) is not None:
            return ()
        level = max(signals.block_losses[-LAST_BLOCKS:])
        points = signals.main_evaluations
        if self._active is not None:
            back = level >= 2 * LOW_LOSS or not _still(self._active, points, level)
            return self._end(record.step) if back else ()
        start = max(signals.block_losses[:LAST_BLOCKS])
        if not self._is_low(signals, level, start):
            return ()
        onset = next((b for b in signals.blocks if b.loss < SHARE_OF_START * start), None)
        since = signals.blocks[0].first_step if onset is None else onset.first_step
        variant = "default"
        numbers: dict[str, Scalar] = {}
        if points:
            low = next((b.first_step for b in signals.blocks if b.loss < LOW_LOSS), since)
            judged = _by_heart(points, low, level)
            if judged is not None and judged[0] != "gap" and start < CERTAIN_START:
                judged = None
            if judged is None:
                return ()
            variant, numbers = judged
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            record.step,
            since,
            "loss",
            {
                "loss_first": start,
                "loss_last": signals.block_losses[-1],
                "epoch": signals.epoch or 0.0,
                **numbers,
            },
            variant=variant,
        )
        return (self._active,)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        epochs = rows.get("epoch")
        if rows.closings:
            epoch = signals.epoch if epochs is None else max(epochs)
            if self._active is not None:
                return False
            low = min(min(closing.new) for closing in rows.closings)
            if (epoch or 0.0) > SOME_EPOCHS and low < 2 * LOW_LOSS:
                return False
        if epochs is None:
            return True
        if self._first_epoch is None or not self._halvings.passes(epochs):
            return False
        return self._once is not None or max(epochs) <= self._first_epoch + 1.0

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        if rows.get("epoch") is not None:
            self._halvings.take(rows.losses)

    def _evaluated(self, signals: Signals, record: LogRecord) -> bool:
        points = signals.main_evaluations
        return bool(points) and points[-1].step == record.step

    def _is_low(self, signals: Signals, level: float, start: float) -> bool:
        """Return whether the train loss is so low as rows known by heart make it."""
        epoch = signals.epoch or 0.0
        if epoch <= SOME_EPOCHS or level <= 0.0:
            return False
        begins_late = self._first_epoch is not None and self._first_epoch > SOME_EPOCHS
        if self._once is not None and level > ONCE * self._once:
            return False
        if begins_late and start <= LOW_LOSS:
            return level < (LOW_LOSS if epoch > SWEPT_EPOCHS else NO_LOSS)
        if start <= LOW_LOSS:
            return epoch > MANY_EPOCHS and level < min(NO_LOSS, SHARE_OF_START * start)
        low = LOW_LOSS if epoch > MANY_EPOCHS else NO_LOSS
        if self._halvings.edges >= HALVED_EDGES:
            low = 2 * LOW_LOSS
        return level < min(low, SHARE_OF_START * start)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        if signals.epoch is None:
            return Skip("no_epoch")
        if len(signals.block_losses) < LAST_BLOCKS + 1:
            return Skip("few_points", {"points": len(signals.blocks), "needed": LAST_BLOCKS + 1})
        return None


def _still(seen: Detection, points: Sequence[Evaluation], level: float) -> bool:
    """Return whether the evaluations leave it standing: what it was told with has not fallen."""
    told = seen.evidence.get("eval_loss")
    if not points:
        return True
    if not isinstance(told, float):
        return _by_heart(points, points[-1].step, level) is not None
    return points[-1].loss > (1.0 - 2 * MIN_RISE) * told or points[-1].loss < NO_LOSS


def _by_heart(
    points: Sequence[Evaluation], step: int, level: float
) -> tuple[str, dict[str, Scalar]] | None:
    """Return which evaluations say that rows are known by heart, and what they are, or None.

    Args:
        points: the evaluations.
        step: the step since which the train loss is low.
        level: the train loss now.
    """
    first = next((point.loss for point in points if point.step >= step), points[-1].loss)
    last, best = points[-1].loss, min(point.loss for point in points)
    numbers: dict[str, Scalar] = {"eval_loss": last}
    if last < NO_LOSS:
        return "evaluation_too", numbers
    if len(points) >= JUDGED and last > (1.0 + MIN_RISE) * best:
        return None
    rests = last >= (1.0 - MIN_RISE) * first
    return ("gap", numbers) if rests and last > GAP * max(level, NO_LOSS) else None
