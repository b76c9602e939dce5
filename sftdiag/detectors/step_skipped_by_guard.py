"""SFT113 step-skipped-by-guard: a guard kept a step out of the weights.

Sees what ``attach(trainer, guard=True)`` did: the steps whose loss or gradient was not finite, or
whose loss was beyond what the run's own noise explains, so that their gradients were dropped. One
or two are a note; from the third on it is a warning, as where the guard stopped the run or put the
weights back. Such steps are no part of the train loss that other detectors judge.

Cannot see what fp16's loss scaler or DeepSpeed skip by themselves: that is SFT112.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in (40, 61, 100):
...     row = {"step": step, "guard/loss": 9.0, "guard/skipped": 3, "guard/level": 2.0}
...     for finding in monitor.feed_entry({**row, "guard/bound": 0.8}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
40 SFT113 info 40
100 SFT113 warning 40

References:
    Chowdhery et al. (2022, PaLM, arXiv 2204.02311), section 5.1: batches at spikes left out;
    transformers and OneTrainer issues that ask for steps kept out of the weights before they are
    hit (OneTrainer 1147).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import GUARD, SKIPS, LogRecord
from sftdiag.signals.stream import Signals

REPEATED = 3
"""Steps that make a warning: three spikes make one of SFT105, too."""

NAMED = 8
"""Last steps whose rows are named."""

SPIKE = 3
"""Of :data:`~sftdiag.records.SKIPS`."""

STOPPED, PUT_BACK = 1, 2
"""Tens of what a skipped step says: the run was stopped then; the weights were put back."""


class StepSkippedByGuardDetector(Detector):
    """Fires at the first such step and rises at the third; never resolves."""

    code: ClassVar[str] = "SFT113"
    name: ClassVar[str] = "step-skipped-by-guard"
    severity: ClassVar[Severity] = Severity.WARNING
    only: ClassVar[str | None] = GUARD
    seldom: ClassVar[bool] = True

    def __init__(self) -> None:
        self._skipped = 0
        self._spikes = 0
        self._first = 0
        self._named: deque[int] = deque(maxlen=NAMED)
        self._action = 0

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != GUARD:
            return ()
        said = record.finite("guard/skipped")
        action, reason = divmod(int(said or 0), 10)
        if reason not in SKIPS:
            return ()
        self._skipped += 1
        self._spikes += reason == SPIKE
        self._first = self._first or record.step
        self._named.append(record.step)
        self._action = action or self._action
        loss, norm = record.get("guard/loss"), record.get("guard/grad_norm")
        level, bound = record.finite("guard/level"), record.finite("guard/bound")
        few = self._skipped < REPEATED and not self._action
        self._active = Detection(
            self.code,
            self.name,
            Severity.INFO if few else Severity.WARNING,
            record.step,
            self._first,
            "loss",
            {
                "skipped": self._skipped,
                "spikes": self._spikes,
                "lost": self._skipped - self._spikes,
                "first_step": self._first,
                "last_step": record.step,
                "loss": loss,
                "grad_norm": norm if norm is not None else float("nan"),
                "level": level,
                "most_usual": level + bound if level is not None and bound is not None else None,
                "steps_named": " ".join(map(str, self._named)),
            },
            variant=self._variant(reason),
        )
        return (self._active,)

    def _variant(self, reason: int) -> str:
        if self._action == STOPPED:
            return "stopped"
        if self._action == PUT_BACK:
            return "put_back"
        if self._skipped > 1:
            return "default"
        return "once_spike" if reason == SPIKE else f"once_{SKIPS[reason]}"

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if self._skipped else Skip("no_guard")
