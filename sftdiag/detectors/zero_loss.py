"""SFT107 zero-loss: the loss is exactly 0 because no label reaches it.

Sees a loss of exactly 0.0 with a gradient norm of exactly 0 (every label is masked), and without a
logged gradient norm a loss that is 0 from the first record or falls to it and stays.

Cannot tell, without grad_norm, masked labels from a NaN that the trainer logs as 0; where a witness
says that it is one, or a gradient that is not 0, it is SFT106. Does not fire on a loss that shrinks
to 0 by learning (a run that memorises), nor in reinforcement learning and preference logs, where a
loss of 0 is normal: the note ``policy-loss-zero`` says so.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 10):
...     for finding in monitor.feed_entry({"step": step, "loss": 0.0, "grad_norm": 0.0}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
3 SFT107 error 1

References:
    trl issues 6668 and 6025, unsloth issue 2900: loss 0 with every label masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.streak import Streak
from sftdiag.signals.stream import Signals
from sftdiag.signals.zeros import BLANK, MASKED

FIRST_RECORDS = 3
"""Zero records in a row from the start of the log that fire: three whole logging windows."""

LATER_STEPS = 8
"""Steps in a row that fire once the loss has been above 0, whatever logging_steps is: with batch
size 1 and one row in ten masked, eight in a row come by chance once in 10**8 steps. A record is 0
only where each of its steps was."""

LATER_RECORDS = 2
"""Records that these steps are, at the least."""

WINDOW_STEPS = 100
"""Two first records so many optimizer steps apart are as good as many: the second one is 0 only if
every step between them was. So is one beside an evaluation loss of exactly 0."""

NOTE_RECORDS = 5
"""Records of a reinforcement-learning log, each with a loss of 0 or below, before the note."""


class ZeroLossDetector(Detector):
    """Fires on a run of records whose loss is exactly 0; resolves when the loss comes back."""

    code: ClassVar[str] = "SFT107"
    name: ClassVar[str] = "zero-loss"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("policy-loss-zero",)

    def __init__(self) -> None:
        self._not_positive = 0
        self._last_loss: float | None = None
        self._grad_norm: float | None = None
        self._entropy: float | None = None
        self._tokens: float | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None:
            return self._note(signals, record)
        zeros = signals.zeros.streak
        if record.kind == TRAIN and signals.zero is None and not signals.row_lost:
            return self._alive(record, record.metrics["loss"])
        if record.kind != TRAIN:
            losses = signals.eval_losses.values()
            both = bool(losses) and not any(losses) and zeros.records == signals.train_rows > 0
            unlabelled = both and signals.zero in (MASKED, BLANK) and self._active is None
            return self._fire(signals, record) if unlabelled else ()
        loss = record.metrics["loss"]
        if signals.zero not in (MASKED, BLANK):
            return self._alive(record, loss) if loss != 0.0 and isfinite(loss) else ()
        self._grad_norm = record.get("grad_norm")
        self._entropy, self._tokens = record.finite("entropy"), record.finite("num_tokens")
        if self._last_loss is None and signals.first_loss:
            self._last_loss = signals.first_loss
        if self._active is not None or not self._is_enough(zeros):
            return ()
        return self._fire(signals, record)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        return self._active is None

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._last_loss = rows.losses[-1]

    def _note(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Return the note at the NOTE_RECORDS-th loss that no likelihood could have."""
        if record.kind != TRAIN or signals.objective != "reinforcement":
            return ()
        if record.loss_is_lost() or record.metrics["loss"] > 0.0:
            return ()
        self._not_positive += 1
        if self._not_positive != NOTE_RECORDS:
            return ()
        numbers = {"records": self._not_positive, "loss": record.metrics["loss"]}
        note, step = self.notes[0], record.step
        first = signals.first_step if signals.first_step is not None else step
        return (Detection(self.code, note, Severity.INFO, step, first, "loss", numbers),)

    def _fire(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        zeros = signals.zeros.streak
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            zeros.onset,
            "loss",
            {
                "records": zeros.records,
                "steps": zeros.steps,
                "grad_norm": self._grad_norm,
                "loss_before": self._last_loss,
                "entropy": self._entropy,
                "num_tokens": self._tokens,
            },
            variant="default" if self._last_loss is None else "later",
        )
        return (self._active,)

    def _is_enough(self, zeros: Streak) -> bool:
        if self._last_loss is None:
            return zeros.records >= FIRST_RECORDS or zeros.shown_steps >= WINDOW_STEPS
        return zeros.records >= LATER_RECORDS and zeros.steps >= LATER_STEPS

    def _alive(self, record: LogRecord, loss: float) -> Sequence[Detection]:
        self._last_loss = loss
        return self._end(record.step) if self._active is not None else ()

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return unusable_train_loss(signals)
