"""SFT203 eval-not-finite: the evaluation loss is NaN or infinite while the training loss is not.

Fires at the first evaluation of a series, or at the second in a row once one was finite; at the
first then, too, where a score beside it collapses. It does not resolve by itself. When the training
loss is lost as well, SFT106 explains it.

Cannot see it where the trainer drops NaN batches from the mean, as it does when any batch is finite
(``logging_nan_inf_filter``).

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in (10, 20, 30):
...     _ = monitor.feed_entry({"step": step, "loss": 2.0})
...     for finding in monitor.feed_entry({"step": step, "eval_loss": "nan"}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
10 SFT203 warning 10

References:
    trl issue 1057, unsloth issue 2900: an evaluation set whose labels are all masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sftdiag.detectors.base import Detector, Skip, no_evaluations
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import EVAL, LogRecord, is_score
from sftdiag.signals.stream import Signals

IN_A_ROW = 2
"""Evaluations in a row once one was finite: the rows are the same each time, so what was NaN twice
stays NaN (corpus: 16 of 16 series). So does what was NaN the first time: no weights have moved far
by then, and the rows are to blame (every one of those series)."""

COLLAPSED = 0.5
"""Share of what it was that a score beside a loss which is not finite must be below: the weights
are lost, and no batch alone is to blame. Of healthy labelled runs none loses half of one."""


class EvalNotFiniteDetector(Detector):
    """Counts non-finite evaluations in a row, series by series."""

    code: ClassVar[str] = "SFT203"
    name: ClassVar[str] = "eval-not-finite"
    severity: ClassVar[Severity] = Severity.WARNING
    evaluations_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._onset: dict[str, int] = {}
        self._finite: set[str] = set()
        self._told: set[str] = set()
        self._scores: dict[str, float] = {}

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != EVAL:
            return ()
        found = []
        collapsed = self._collapses(record)
        for series, loss in signals.eval_losses.items():
            if isfinite(loss):
                self._rows[series] = 0
                self._finite.add(series)
                self._told.discard(series)
                continue
            self._rows[series] = self._rows.get(series, 0) + 1
            if self._rows[series] == 1:
                self._onset[series] = record.step
            needed = IN_A_ROW if series in self._finite and not collapsed else 1
            if self._rows[series] >= needed and series not in self._told:
                self._told.add(series)
                found.append(self._detection(signals, record, series, loss))
        return found

    def _collapses(self, record: LogRecord) -> bool:
        """Return whether a score beside losses that are not all finite has collapsed."""
        scores = {name: value for name, value in record.metrics.items() if is_score(name)}
        if all(map(isfinite, record.eval_losses().values())):
            self._scores = scores
            return False
        before = self._scores
        return any(score < COLLAPSED * before.get(name, 0.0) for name, score in scores.items())

    def _detection(
        self, signals: Signals, record: LogRecord, series: str, loss: float
    ) -> Detection:
        return Detection(
            self.code,
            self.name,
            Severity.WARNING,
            record.step,
            self._onset[series],
            series,
            {
                "eval_loss": loss,
                "finite_before": len(signals.evaluations.get(series, ())),
                "train_loss": signals.block_losses[-1] if signals.block_losses else None,
                "broken_since": signals.broken_since,
            },
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if signals.evaluations_seen else no_evaluations(signals)
