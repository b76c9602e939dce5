"""SFT104 loss-divergence: the training loss has blown up above where it started and stays there.

A comparison of windows as in SFT102, with a last window that lies clearly above the first one:
everything learned is lost, and more.

Cannot see a blow-up that is over within a window, nor tell a learning rate from bad data.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 101):
...     loss = 3.0 - 0.02 * step if step <= 50 else 9.0
...     for finding in monitor.feed_entry({"step": step, "loss": loss}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
54 SFT104 error 48

References:
    Chowdhery et al. (2022, arXiv 2204.02311, section 5.1): restart before it and skip some batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip
from sftdiag.detectors.train_loss_rebound import BACK, bar, evidence, learns, skip
from sftdiag.findings import Detection, Severity
from sftdiag.records import LogRecord
from sftdiag.signals import WINDOW_BLOCKS, WINDOW_STEPS, Signals, median

ABOVE_START = 1.15
"""Last window over the loss of the start: healthy runs of the corpus stay below 1.0 of it,
labelled blow-ups reach 1.2 to 20."""


BEYOND_GROUPING = 2.0
"""Last window over the start that no length grouping makes: its saw-teeth reach 1.5."""

AGAIN = 1.5
"""Last window over the lowest block from which a run that has blown up once is blowing up again."""


class LossDivergenceDetector(Detector):
    """Fires when the last window lies above the start; resolves when it is back near the lowest."""

    code: ClassVar[str] = "SFT104"
    name: ClassVar[str] = "loss-divergence"
    severity: ClassVar[Severity] = Severity.ERROR
    blocks_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._active: Detection | None = None
        self._blown = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if not signals.block_closed or signals.objective is not None:
            return ()
        if signals.first_loss is None or len(signals.block_losses) < 2 * WINDOW_BLOCKS:
            return ()
        start = max(signals.first_loss, median(signals.block_losses[:WINDOW_BLOCKS]))
        height = ABOVE_START * start
        if self._active is not None:
            return self._follow(signals, record.step)
        if self._blown:
            height = min(height, AGAIN * min(signals.block_losses))
        if signals.block_losses[-1] <= height:
            return ()
        climb = signals.climb()
        if climb is None or learns(climb) or climb.rise <= bar(climb) or climb.recent <= height:
            return ()
        # What a saw-tooth could do within its period must hold over whole periods.
        if climb.recent <= BEYOND_GROUPING * start:
            climb = signals.climb(WINDOW_STEPS)
            if climb is None or climb.rise <= bar(climb) or climb.recent <= height:
                return ()
        self._blown = True
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

    def _follow(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Resolve when the last window is back near the lowest."""
        climb = signals.climb()
        if self._active is None or (climb is not None and climb.rise > BACK * bar(climb)):
            return ()
        resolved, self._active = self._active.replace(step=step, resolved=True), None
        return (resolved,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return skip(signals)
