"""SFT107 zero-loss: the loss is exactly 0 because no label reaches it.

Sees a loss of exactly 0.0 with a gradient norm of exactly 0 (every label is masked), and without a
logged gradient norm a loss that is 0 from the first record or falls to it in one jump.

Cannot tell, without grad_norm, masked labels from a NaN that the trainer logs as 0; does not fire
on a loss that shrinks to 0 by learning (a run that memorises), nor in reinforcement learning and
preference logs, where a loss of 0 is normal: the note ``policy-loss-zero`` says so.

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
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Severity
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.stream import Signals

FIRST_RECORDS = 3
"""Zero records in a row from the start of the log that fire: three whole logging windows."""

LATER_RECORDS = 8
"""Zero records in a row that fire once the loss has been above 0: with batch size 1 and one row
in ten masked, eight in a row come by chance once in 10**8 steps."""

WINDOW_STEPS = 100
"""Two first records so many optimizer steps apart are as good as many: the second one is 0 only if
every step between them was. So is one beside an evaluation loss of exactly 0."""

LEARNED_LOSS = 0.01
"""A loss that was below this before it read 0 got there by learning: older trainers round to four
decimals, and memorising runs pass through 0.01 (corpus: 18 of 18)."""


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
        self._zeros = 0
        self._onset = 0
        self._last_loss: float | None = None
        self._grad_norm: float | None = None
        self._entropy: float | None = None
        self._tokens: float | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None:
            return self._note(signals, record)
        if record.kind != TRAIN:
            losses = record.eval_losses().values()
            both = bool(losses) and not any(losses) and self._zeros == signals.train_rows > 0
            return self._fire(record) if both and self._active is None else ()
        loss = record.metrics["loss"]
        grad_norm = record.get("grad_norm")
        if loss != 0.0 or (grad_norm is not None and grad_norm != 0.0):
            return self._alive(record, loss)
        if not self._zeros:
            self._onset = record.step
        self._zeros += 1
        self._grad_norm = grad_norm
        self._entropy, self._tokens = record.finite("entropy"), record.finite("num_tokens")
        if self._last_loss is None and signals.first_loss:
            self._last_loss = signals.first_loss
        if self._active is not None or not self._is_enough(record.step):
            return ()
        return self._fire(record)

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

    def _fire(self, record: LogRecord) -> Sequence[Detection]:
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            self._onset,
            "loss",
            {
                "records": self._zeros,
                "grad_norm": self._grad_norm,
                "loss_before": self._last_loss,
                "entropy": self._entropy,
                "num_tokens": self._tokens,
            },
            variant="default" if self._last_loss is None else "later",
        )
        return (self._active,)

    def _is_enough(self, step: int) -> bool:
        if self._last_loss is None:
            apart = step - self._onset >= WINDOW_STEPS
            return self._zeros >= FIRST_RECORDS or apart
        if self._grad_norm is None and self._last_loss < LEARNED_LOSS:
            return False
        return self._zeros >= LATER_RECORDS

    def _alive(self, record: LogRecord, loss: float) -> Sequence[Detection]:
        self._zeros = 0
        self._last_loss = loss
        return self._end(record.step)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return unusable_train_loss(signals)
