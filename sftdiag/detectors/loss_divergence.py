"""SFT104 loss-divergence: the training loss has blown up above where it started and stays there.

The same comparison of windows as SFT102, with a last window that lies clearly above the first one:
everything learned is lost, and more.

Cannot see a blow-up that is over within a window (SFT105), nor tell a learning rate from bad data.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 101):
...     loss = 3.0 - 0.02 * step if step <= 50 else 9.0
...     for finding in monitor.feed_entry({"step": step, "loss": loss}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
53 SFT104 error 47

References:
    Chowdhery et al. (2022, arXiv 2204.02311, section 5.1): restart before it and skip some batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.train_loss_rebound import bar, evidence, learns, skip
from sftdiag.findings import Detection, Severity
from sftdiag.records import LogRecord
from sftdiag.signals import WINDOW_BLOCKS, Signals

ABOVE_START = 1.15
"""Last window over the highest loss of the start: healthy runs of the corpus stay below 1.0 of it,
labelled blow-ups reach 1.2 to 20."""


class LossDivergenceDetector(Detector):
    """Fires when the last window lies above the start; resolves when the loss is back below it."""

    code: ClassVar[str] = "SFT104"
    name: ClassVar[str] = "loss-divergence"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._active: Detection | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if not signals.block_closed or signals.objective is not None:
            return ()
        if signals.first_loss is None or len(signals.block_losses) < 2 * WINDOW_BLOCKS:
            return ()
        start = max(signals.first_loss, *signals.block_losses[:WINDOW_BLOCKS])
        if self._active is not None:
            if signals.block_losses[-1] >= start:
                return ()
            resolved, self._active = self._active.replace(step=record.step, resolved=True), None
            return (resolved,)
        if signals.block_losses[-1] <= ABOVE_START * start:
            return ()
        climb = signals.climb()
        if climb is None or learns(climb) or climb.rise <= bar(climb):
            return ()
        if climb.recent <= ABOVE_START * start:
            return ()
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            climb.lowest_step,
            "loss",
            {**evidence(signals, climb), "loss_start": start},
        )
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return skip(signals)
