"""SFT106 non-finite: the loss or the gradient is NaN or infinite and does not come back.

Sees a NaN in the open (``loss: nan``) and the two ways in which the trainer hides it: with
``logging_nan_inf_filter`` (on by default) a NaN loss is logged as 0.0 while grad_norm or entropy
says NaN; and with fp16 a step whose gradient overflowed is skipped while the loss stays finite.
One or a few overflows of the second kind are how fp16 loss scaling works: they get the note
``scattered-overflow``.

Cannot see a NaN that is hidden in a log without grad_norm and entropy (that looks like SFT107), nor
one in an evaluation only (SFT203).

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 20):
...     bad = step > 10
...     row = {"step": step, "loss": 0.0 if bad else 2.0, "grad_norm": "nan" if bad else 1.0}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
12 SFT106 error 11

References:
    transformers issue 13619 and trl issue 6702 (NaN steps invisible in the logged loss);
    DeepSpeed issue 931 (overflow in the first fp16 steps is normal).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar

from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Severity
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.stream import Signals

DEAD_RECORDS = 2
"""Records in a row without a finite loss before the run counts as lost. One may be a single bad
batch; on all labelled NaN runs nothing finite came after two (corpus: 16 of 16)."""

MANY_DEAD = 10
"""Dead records in all, from which their share counts too."""

DEAD_SHARE = 0.1
"""Share of the records without a finite loss that is no longer a few bad batches."""

OVERFLOW_RECORDS = 20
"""Records in a row whose gradient is not finite while the loss is. fp16's loss scaler halves its
scale at each overflow, from 2**16: after 16 halvings the scale is 1 and overflow is the model's."""


class NonFiniteDetector(Detector):
    """Fires after :data:`DEAD_RECORDS` records without a finite loss; never resolves."""

    code: ClassVar[str] = "SFT106"
    name: ClassVar[str] = "non-finite"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("scattered-overflow",)

    def __init__(self) -> None:
        self._dead = 0
        self._all_dead = 0
        self._overflow = 0
        self._overflows = 0
        self._onset = 0
        self._first_overflow = 0
        self._last_good: int | None = None
        self._last_rate: float | None = None
        self._fired = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or self._fired:
            return ()
        state = _state(record)
        if state == "finite":
            found = self._note(record) if self._overflow else ()
            self._dead = self._overflow = 0
            self._last_good = record.step
            self._last_rate = record.finite("learning_rate")
            return found
        if not self._dead and not self._overflow:
            self._onset = record.step
        if state == "dead":
            self._dead += 1
            self._all_dead += 1
        else:
            self._dead = 0
            self._overflow += 1
            self._overflows += 1
            self._first_overflow = self._first_overflow or record.step
        often = self._all_dead >= max(MANY_DEAD, DEAD_SHARE * signals.train_rows)
        if self._dead >= DEAD_RECORDS or self._overflow >= OVERFLOW_RECORDS or often:
            self._fired = True
            return (self._detection(record),)
        return ()

    def _detection(self, record: LogRecord) -> Detection:
        loss, grad_norm = record.metrics["loss"], record.get("grad_norm")
        return Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            self._onset,
            "loss",
            {
                "loss": loss,
                "grad_norm": grad_norm,
                "records": max(self._all_dead, self._overflow),
                "last_good_step": self._last_good,
                "learning_rate": self._last_rate,
            },
            variant=self._variant(loss),
        )

    def _variant(self, loss: float) -> str:
        if not self._dead:
            return "overflow"
        if self._dead < DEAD_RECORDS:
            return "often"
        return "hidden" if isfinite(loss) else "default"

    def _note(self, record: LogRecord) -> Sequence[Detection]:
        return (
            Detection(
                self.code,
                "scattered-overflow",
                Severity.INFO,
                record.step,
                self._first_overflow,
                "grad_norm",
                {"overflows": self._overflows, "loss": record.metrics["loss"]},
            ),
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if signals.train_rows else Skip("no_train_loss")


def _state(record: LogRecord) -> str:
    """Return ``"finite"``, ``"overflow"`` (only the gradient is lost) or ``"dead"``."""
    if record.loss_is_lost():
        return "dead"
    grad_norm = record.get("grad_norm")
    return "finite" if grad_norm is None or isfinite(grad_norm) else "overflow"
