"""SFT202 memorization: the training loss goes to about 0 over epochs, and nothing checks it.

A loss near 0 means that nearly every token of every row is predicted with certainty. After more
than three passes over the rows (two, where the loss is next to nothing) that is learning by heart,
unless an evaluation says otherwise: where there is a finite one, SFT201 judges by it and nothing is
said here.

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
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Severity
from sftdiag.ranges import MOST_EPOCHS
from sftdiag.records import LogRecord
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

LAST_BLOCKS = 3
"""Block means in a row that must all be low."""


class MemorizationDetector(Detector):
    """Fires once; resolves when the loss comes back up, as with new data."""

    code: ClassVar[str] = "SFT202"
    name: ClassVar[str] = "memorization"
    severity: ClassVar[Severity] = Severity.WARNING
    blocks_only: ClassVar[bool] = True

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if self._active is not None and signals.best_evaluation() is not None:
            return self._end(record.step)
        if not signals.block_closed or self.skip(signals) is not None:
            return ()
        epoch = signals.epoch or 0.0
        level = max(signals.block_losses[-LAST_BLOCKS:])
        start = max(signals.block_losses[:LAST_BLOCKS])
        low = LOW_LOSS if epoch > MANY_EPOCHS else NO_LOSS
        if self._active is not None:
            if level < 2 * LOW_LOSS:
                return ()
            return self._end(record.step)
        if epoch <= SOME_EPOCHS or start <= LOW_LOSS:
            return ()
        if not 0.0 < level < min(low, SHARE_OF_START * start):
            return ()
        onset = next(b for b in signals.blocks if b.loss < SHARE_OF_START * start)
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            record.step,
            onset.first_step,
            "loss",
            {"loss_first": start, "loss_last": signals.block_losses[-1], "epoch": epoch},
        )
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        if signals.epoch is None:
            return Skip("no_epoch")
        if len(signals.block_losses) < LAST_BLOCKS + 1:
            return Skip("few_points", {"points": len(signals.blocks), "needed": LAST_BLOCKS + 1})
        best = signals.best_evaluation()
        if best is not None:
            return Skip("evaluation_checks", {"eval_loss": signals.evaluations[best[0]][-1].loss})
        return None
