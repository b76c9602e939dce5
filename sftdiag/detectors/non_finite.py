"""SFT106 non-finite: the loss is NaN or infinite and does not come back.

Sees a NaN in the open (``loss: nan``) and the ways in which the trainer hides it. With
``logging_nan_inf_filter`` (on by default) a NaN loss is logged as 0.0. grad_norm or entropy then
say NaN; or the gradient norm is one that a loss of exactly 0 cannot have; or, in a log without it,
two zeros come right behind a leap of the loss, while the schedule is held, or beside an evaluation
that is NaN. On one of N ranks alone the filter makes the logged loss fall by exactly 1/N while
all else stands still (``one_rank``; needs ``world_size``).

Cannot see a NaN that is hidden in a log without grad_norm and entropy and without one of these
witnesses (that looks like SFT107), nor one in an evaluation only (SFT203). A gradient that is not
finite beside a loss that is belongs to SFT112.

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
    LlamaFactory issues 8004 and 506, alpaca-lora issue 418 (a loss of 0.0 to the end).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite, isnan

from sftdiag.detectors._one_rank import OneRank
from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import EVAL, TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.streak import Streak
from sftdiag.signals.stream import Signals
from sftdiag.signals.zeros import CONTRADICTED, HIDDEN, HUGE, LEAPT, NAN_KINDS

DEAD_RECORDS = 2
"""Records in a row without a finite loss before the run counts as lost. One may be a single bad
batch; on all labelled NaN runs nothing finite came after two (corpus: 16 of 16). The row in which
it breaks may average what was finite before: its gradient is lost, and it counts, too."""

BROKEN = 3 * HUGE
"""Loss that counts as a record of its own before an exact 0: thrice what no model is wrong enough
for (SFT111). No batch of text costs so much, and no loss that comes back is 0."""

FIRST_ZEROS = 3
"""The same for zeros beside a gradient from the first record on: nothing before them says that the
loss is one that does not begin at 0."""

RETURNING_ZEROS = 8
"""The same where the loss has come back from 0 before."""

MANY_DEAD = 10
"""Dead records in all, from which their share counts too."""

DEAD_SHARE = 0.1
"""Share of the records without a finite loss that is no longer a few bad batches."""

OFTEN, ONE_RANK, SKIPPED = "often", "one_rank", "skipped"
"""Variants: the loss comes and goes; it is lost on one rank only; DeepSpeed skips its steps."""


class NonFiniteDetector(Detector):
    """Fires after :data:`DEAD_RECORDS` records without a finite loss; never resolves."""

    code: ClassVar[str] = "SFT106"
    name: ClassVar[str] = "non-finite"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._dead = Streak()
        self._all_dead = 0
        self._first_dead = 0
        self._broke = 0
        self._lost_gradient = False
        self._last_dead = 0
        self._last_lost: LogRecord | None = None
        self._last_good: int | None = None
        self._last_finite: int | None = None
        self._last_rate: float | None = None
        self._one_rank = OneRank()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN:
            return self._evaluated(record) if record.kind == EVAL else ()
        zero = signals.zero if signals.objective is None else None
        if signals.row_lost or zero in NAN_KINDS:
            return self._lost(signals, record, zero)
        return self._finite(signals, record)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        return self._dead.records == 0 and (
            self._active is not None or not self._one_rank.follows(signals)
        )

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._last_finite = rows.steps[-1]
        if self._active is None:
            self._lost_gradient = False
            self._broke, self._last_good = 0, rows.steps[-1]
            rates = rows.get("learning_rate")
            self._last_rate = rates[-1] if rates is not None else None

    def _lost(self, signals: Signals, record: LogRecord, zero: str | None) -> Sequence[Detection]:
        zeros = signals.zeros.streak
        if zero is not None and zeros.records > self._dead.records + 1:
            # What the zeros before it were shows only now.
            self._all_dead += zeros.records - 1
            self._dead.take(zeros)
        else:
            self._dead.add(record.step, signals.previous_train_step)
        self._all_dead += 1
        self._last_dead = record.step
        self._last_lost = record
        self._first_dead = self._first_dead or self._dead.onset
        if self._active is not None:
            return ()
        needed = DEAD_RECORDS
        if zero == CONTRADICTED:
            never = self._last_finite is None
            needed = RETURNING_ZEROS if signals.zeros.returned else FIRST_ZEROS if never else needed
        broke = self._lost_gradient and signals.context.precision != "fp16"
        # What a loss scaler skips leaves the next loss finite: an infinite gradient did harm here.
        norm = record.get("grad_norm")
        unscaled = signals.context.precision != "fp16" and zero is None
        broke = broke or (unscaled and self._broke > 0 and norm is not None and isnan(norm))
        # The row in which it broke was at a level that only broken weights have.
        broke = broke or (zero == HIDDEN and (signals.zeros.loss_before or 0.0) > BROKEN)
        if self._dead.records + broke >= needed:
            return self._fire(record, self._broke or self._dead.onset, *self._told(signals, record))
        if self._all_dead >= max(MANY_DEAD, DEAD_SHARE * signals.train_rows):
            return self._fire(record, self._first_dead, OFTEN, self._numbers(record))
        return ()

    def _evaluated(self, record: LogRecord) -> Sequence[Detection]:
        """Return that other rows are NaN, too, right behind a record that is: no bad batch."""
        lost = self._last_lost
        if self._active is not None or lost is None or self._dead.records == 0:
            return ()
        losses = record.eval_losses().values()
        if not losses or any(map(isfinite, losses)) or self._last_finite is None:
            return ()
        onset = self._broke or self._dead.onset
        return self._fire(record, onset, "default", self._numbers(lost))

    def _finite(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        passed, step = self._dead.records > 0, record.step
        if passed:
            self._dead.end()
        self._last_finite = step
        if self._active is not None:
            return self._passed(record) if passed else ()
        grad_norm = record.metrics.get("grad_norm")
        if grad_norm is None or isfinite(grad_norm):
            self._lost_gradient = False
            self._broke, self._last_good = 0, step
            self._last_rate = record.finite("learning_rate")
        else:
            # Infinite ones are a loss scaler's, too, where it is not known that there is none.
            self._lost_gradient = isnan(grad_norm) or signals.context.precision is not None
            # Its window may average what was finite before the loss broke.
            self._broke = self._broke or step
        if signals.context.world_size is None:
            return ()
        fall = self._one_rank.look(signals, record)
        return () if fall is None else self._fire(record, fall[0], ONE_RANK, fall[1])

    def _passed(self, record: LogRecord) -> Sequence[Detection]:
        """Say of a NaN after which the loss was finite again that it comes and goes."""
        fired = self._active
        if fired is None or fired.variant == ONE_RANK:
            return ()
        self._active = fired.replace(
            step=record.step, variant=OFTEN, evidence={**fired.evidence, **self._numbers(record)}
        )
        return (self._active,)

    def _told(self, signals: Signals, record: LogRecord) -> tuple[str, dict[str, Scalar]]:
        """Return the variant and the numbers of a loss that does not come back."""
        numbers = self._numbers(record)
        if signals.context.deepspeed and record.get("grad_norm") == inf:
            return SKIPPED, numbers
        if not record.loss_is_lost():
            if signals.zeros.witness == LEAPT:
                numbers |= {
                    "loss_before": signals.zeros.usual,
                    "loss_after": signals.zeros.loss_before,
                }
            numbers["still_steps"] = signals.schedule.still_steps
            return signals.zeros.witness or CONTRADICTED, numbers
        if isfinite(record.metrics["loss"]):
            return "hidden", numbers
        return "default", numbers

    def _numbers(self, record: LogRecord) -> dict[str, Scalar]:
        return {
            "loss": record.metrics["loss"],
            "grad_norm": record.get("grad_norm"),
            "records": self._all_dead,
            "steps": self._dead.steps,
            "last_lost_step": self._last_dead,
            "last_good_step": self._last_good,
            "last_finite_step": self._last_finite,
            "from_first_record": self._last_good is None and record.get("grad_norm") is not None,
            "learning_rate": self._last_rate,
        }

    def _fire(
        self, record: LogRecord, onset: int, variant: str, numbers: Mapping[str, Scalar]
    ) -> Sequence[Detection]:
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            onset,
            "loss",
            numbers,
            variant=variant,
        )
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return None if signals.train_rows else Skip("no_train_loss")
