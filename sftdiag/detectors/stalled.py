"""SFT114 stalled: nothing happens any more, for much longer than the run's own steps take.

Sees what the callback's watchdog says: since a step so many seconds have passed, while the longest
pause so far was so long. It is over with the next sign of life. No log shows it, so ``analyze``
never finds it: it is told while the run stands still, and goes out as an alert.

Cannot see a hang before the run's first steps, nor tell a first long save from a hang.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> row = {"step": 40, "stall/seconds": 700.0, "stall/usual": 2.0}
>>> for entry in (row, {**row, "step": 41, "stall/over": 1}):
...     for finding in monitor.feed_entry(entry):
...         print(entry["step"], finding.code, finding.severity.label, finding.resolved_step)
40 SFT114 warning None
41 SFT114 warning 41

References:
    transformers and accelerate threads on hangs in NCCL that end after ddp_timeout, 1800 s later.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import STALL, STALL_PLACES, LogRecord
from sftdiag.signals.stream import Signals


class StalledDetector(Detector):
    """Fires when the watchdog does; resolves when the run goes on."""

    code: ClassVar[str] = "SFT114"
    name: ClassVar[str] = "stalled"
    severity: ClassVar[Severity] = Severity.WARNING
    only: ClassVar[str | None] = STALL
    seldom: ClassVar[bool] = True

    def __init__(self) -> None:
        self._seen = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        seconds = record.finite("stall/seconds") if record.kind == STALL else None
        if seconds is None:
            return ()
        if record.get("stall/over"):
            return self._end(record.step)
        self._seen = True
        place = STALL_PLACES.get(int(record.finite("stall/place") or 0), "elsewhere")
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            record.step,
            record.step,
            "seconds",
            {"seconds": seconds, "usual": record.finite("stall/usual"), "place": place},
            variant=place,
        )
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if self._seen else Skip("no_stall")
