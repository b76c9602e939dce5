"""SFT112 steps-skipped: the gradient is NaN, infinite or 0 row after row, and no weight moves.

Sees a gradient norm that is not finite beside a loss that is, in three records in a row, or in two
where it is known that DeepSpeed makes the steps without a loss scaler: were such a step made, the
weights and the next loss would be NaN, so it was skipped, by fp16's loss scaler, by DeepSpeed (also
in bf16), or by a trainer that drops such gradients (ms-swift). A schedule that is held in
mid-course and evaluations that agree to the last digit are further witnesses. What the scaler skips
while it looks for its scale is counted in steps, not in records: up to 16, and only where fp16 may
be in use; that gets the note ``scattered-overflow``, and ``lost-gradients`` where no scaler is at
work; so does a step whose loss was lost as well, where the run goes on. Sees as well gradients that
are exactly 0 in a good part of the records (rows without a label), and in preference and
reinforcement-learning logs in all of them.

Cannot see a step skipped in a log without grad_norm; nor tell, in a log with logging_steps above 1,
what the gradient was in the steps between the records. A run whose gradient is 0 throughout is
SFT101, one whose loss is 0 or NaN SFT107 or SFT106, one that blew up in its first record SFT104.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(10, 100, 10):
...     row = {"step": step, "loss": 1.9, "grad_norm": "nan" if step > 50 else 1.0}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
80 SFT112 error 60

References:
    DeepSpeed issue 931 (overflow in the first fp16 steps is normal); xtuner issue 658,
    LlamaFactory issue 5660 (NaN gradients beside a finite loss); trl issues 3926 and 4081 (gradient
    0); torch.amp.GradScaler (a scale of 2**16, halved at each overflow).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan

from sftdiag.detectors._first_row import is_dead
from sftdiag.detectors._no_gradient import NoGradient
from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.streak import Streak
from sftdiag.signals.stream import Signals

ROWS = 3
"""Records in a row whose gradient is not finite: two may be two bad batches."""

ROWS_DEEPSPEED = 2
"""The same where DeepSpeed makes the steps without a loss scaler: it skips for nothing else, and
says nothing of it. SFT106 takes two rows without a loss as proof, too."""

HALVINGS = 16
"""Steps that fp16's loss scaler may skip in a row: it halves its scale at each, from 2**16, and
after so many the scale is 1 and the overflow is the model's own."""

HELD_ROWS = 2
"""Records that are enough where the schedule has been held for more than HALVINGS steps."""

MANY = 10
"""Skipped records in all, after the first that was not, from which their share counts."""

SHARE = 0.1
"""Share of the records so skipped that is a warning: a scaler at work skips one step in 2,000 (its
growth interval), and 3 of 120 is the most on a healthy public log."""

OFTEN, STILL, SAME, BOTH = "often", "still", "same", "still_same"
"""Variants: skipped now and then; with the held schedule, with equal evaluations, with both as
witnesses."""

NOT_FINITE = ("default", STILL, SAME, BOTH, OFTEN)
"""The variants of a gradient that is not finite; the others are those of one that is 0."""


class StepsSkippedDetector(Detector):
    """Fires on records in a row; over when a gradient arrives again."""

    code: ClassVar[str] = "SFT112"
    name: ClassVar[str] = "steps-skipped"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("scattered-overflow", "lost-gradients")

    def __init__(self) -> None:
        self._skipped = Streak()
        self._overflows = 0
        self._first_overflow = 0
        self._rows = 0
        self._since_first = 0
        self._evaluation: tuple[str, float] | None = None
        self._same = 0
        self._loss_before: float | None = None
        self._no_gradient = NoGradient()
        self._blew_up = self._unmade = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN:
            self._evaluated(signals)
            return ()
        grad_norm = record.metrics.get("grad_norm")
        if grad_norm is None:
            return ()
        if signals.lost:
            # Were it made, no loss after it would be finite; SFT106 tells where none is.
            if signals.row_lost and not isfinite(grad_norm) and signals.context.precision:
                self._unmade = True
                self._count(record.step)
            return ()
        # What is left of such a run has no gradient; SFT104 tells it.
        if self._blew_up or (signals.train_rows == 2 and is_dead(signals, record)):
            self._blew_up = True
            return ()
        if isfinite(grad_norm):
            return self._made(signals, record, grad_norm)
        self._count(record.step)
        if self._rows:
            self._rows += 1
            self._since_first += 1
        self._skipped.add(record.step, signals.previous_train_step)
        if self._in_a_row(signals, grad_norm):
            return self._fire(signals, record, Severity.ERROR, self._variant(signals))
        if self._active is None and self._since_first >= max(MANY, SHARE * self._rows):
            return self._fire(signals, record, Severity.WARNING, OFTEN)
        return ()

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        norms = rows.get("grad_norm")
        if norms is None or self._blew_up:
            return True
        quiet = self._active is None and not self._skipped.records and not self._unmade
        return quiet and self._no_gradient.passes(norms)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        norms = rows.get("grad_norm")
        if norms is not None and not self._blew_up:
            self._rows += rows.count
            self._loss_before, self._same = rows.losses[-1], 0
            self._no_gradient.take(norms)

    def _count(self, step: int) -> None:
        self._overflows += 1
        self._first_overflow = self._first_overflow or step

    def _made(self, signals: Signals, record: LogRecord, grad_norm: float) -> Sequence[Detection]:
        """A gradient that is finite: what was skipped in a row before it is over."""
        self._rows += 1
        self._loss_before = record.metrics["loss"]
        before, self._same = self._skipped.records, 0
        unmade, self._unmade = self._unmade, False
        if before:
            self._skipped.end()
        fired = self._active
        if fired is not None and fired.variant in NOT_FINITE:
            rare = self._since_first < SHARE / 2 * self._rows
            return self._end(record.step) if rare or fired.variant != OFTEN else ()
        numbers = self._no_gradient.look(signals, record, grad_norm)
        if fired is not None:
            return self._end(record.step) if self._no_gradient.over else ()
        if numbers is not None:
            return self._told(record, *numbers)
        return self._note(signals, record) if before or unmade else ()

    def _in_a_row(self, signals: Signals, grad_norm: float) -> bool:
        if self._active is not None and self._active.severity is Severity.ERROR:
            return False
        records, steps = self._skipped.records, self._skipped.steps
        if signals.schedule.still_steps > HALVINGS and records >= HELD_ROWS:
            return True
        precision = signals.context.precision
        # A scaler that skips a step holds the schedule; only its infinite gradients are well known.
        not_its = isnan(grad_norm) and signals.schedule.moved
        scaler = precision in ("fp16", None) and not not_its
        deepspeed = signals.context.deepspeed and precision in ("bf16", "fp32")
        rows = ROWS_DEEPSPEED if deepspeed else ROWS
        return records >= rows and (not scaler or steps > HALVINGS)

    def _variant(self, signals: Signals) -> str:
        held, same = signals.schedule.still_steps > 0, self._same > 1
        return BOTH if held and same else STILL if held else SAME if same else "default"

    def _evaluated(self, signals: Signals) -> None:
        """Count the evaluations of the main series that agree to the last digit."""
        series = signals.main_series
        loss = signals.eval_losses.get(series or "")
        if series is None or loss is None or not isfinite(loss):
            return
        self._same = self._same + 1 if self._evaluation == (series, loss) else 1
        self._evaluation = (series, loss)

    def _fire(
        self, signals: Signals, record: LogRecord, severity: Severity, variant: str
    ) -> Sequence[Detection]:
        skipped = self._skipped
        numbers: dict[str, Scalar] = {
            "loss": record.metrics["loss"],
            "loss_before": self._loss_before,
            "loss_after": record.metrics["loss"],
            "grad_norm": record.get("grad_norm"),
            "records": skipped.records if variant != OFTEN else self._since_first,
            "steps": skipped.steps,
            "rows": self._rows,
            "from_first_record": not self._rows,
            "learning_rate": signals.learning_rate,
            "still_steps": signals.schedule.still_steps,
            "rate_moves": signals.schedule.moved,
            "same_evaluations": self._same,
            "eval_loss": self._evaluation[1] if self._evaluation else None,
        }
        onset = self._first_overflow if variant == OFTEN else skipped.onset
        return self._told(record, severity, variant, onset, numbers)

    def _told(
        self,
        record: LogRecord,
        severity: Severity,
        variant: str,
        onset: int,
        numbers: Mapping[str, Scalar],
    ) -> Sequence[Detection]:
        self._active = Detection(
            self.code,
            self.name,
            severity,
            record.step,
            onset,
            "grad_norm",
            numbers,
            variant=variant,
        )
        return (self._active,)

    def _note(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        numbers = {"overflows": self._overflows, "loss": record.metrics["loss"]}
        scaler = signals.context.precision in ("fp16", None)
        note, onset = self.notes[0 if scaler else 1], self._first_overflow
        return (
            Detection(self.code, note, Severity.INFO, record.step, onset, "grad_norm", numbers),
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if not signals.train_rows:
            return Skip("no_train_loss")
        return None if self._rows or self._overflows else Skip("no_grad_norm")
