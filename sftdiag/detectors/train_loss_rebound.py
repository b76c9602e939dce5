"""SFT102 train-loss-rebound: the training loss fell, then rose again and stays up.

Compares the mean of a last window (an eighth of a long log, 50 steps at least) with the lowest such
window before it. The rise must exceed the noise of such a mean, a share of the loss and a share of
the fall, and the last window must still lie below the start: above it, SFT104 speaks.

At once it speaks where the loss jumps within one record to a multiple of the rows before and stays
there for four records; or by far more than its noise, the token accuracy falls below half, and
both stay there for five: the rows have changed, or the model is broken. The latter is an error
where an evaluation since then lies clearly above the train loss of the start, and the last one
before it below: both series say that all that was learned is being lost.

Likewise where it jumps within one record at a resume (known, or shown by the log: a token count
that begins anew, missing rows, steps that go back), or back to where the run began, and stays up.

And where the evaluation loss jumps from one evaluation to the next by a tenth and by far more than
before, and the train loss has risen beyond its noise; or the evaluation after is still up and the
train loss has not fallen meanwhile. Or where all evaluations lie a tenth above the first, and the
train loss ends higher than it was.

The note ``weighted-loss-rises`` says that the loss rises while more tokens are predicted: normal
for losses weighted by the model's own probability, such as TRL's ``loss_type="dft"``, which are
nowhere above 1/e.

Cannot tell a learning rate that is too large from data that became harder, nor see a rise shorter
than a window; a bump at the peak of the learning rate is below its bar.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 301):
...     loss = 3.0 - 0.02 * step if step <= 100 else min(2.0, 1.0 + 0.02 * (step - 100))
...     for finding in monitor.feed_entry({"step": step, "loss": loss}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
168 SFT102 warning 116

References:
    The guide's second row; Prechelt (1998) on strips: means over several looks, not single ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftdiag.detectors._eval_jump import (
    EVALUATED,
    MOST_WEIGHTED,
    ONCE,
    SINCE,
    is_over,
    jump_of,
)
from sftdiag.detectors._resume_jump import ResumeJump
from sftdiag.detectors._sudden_jump import (
    DOUBLED,
    LOST,
    SUDDEN,
    Doubling,
    SuddenJump,
    lost_by_evaluation,
)
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import EVAL, TRAIN, LogRecord
from sftdiag.signals.blocks import Closing
from sftdiag.signals.climb import (
    LARGEST_WINDOW,
    WINDOW_BLOCKS,
    WINDOW_STEPS,
    Climb,
    climb_of,
    may_climb,
    window_size,
)
from sftdiag.signals.leap import LEAP
from sftdiag.signals.noise import MOVED_ACCURACY
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

NOISE_FACTOR = 6.0
"""Rise in units of a window mean's noise: a look at each of some 400 closed blocks leaves a false
alarm in a thousand runs at 5; one more for noise that grows."""

MIN_RISE = 0.05
"""Rise as a share of the lowest window: healthy logs bump by up to 5 % at the rate's peak."""

SHARE_OF_FALL = 0.25
"""Rise as a share of what was learned, the fall from the start to the lowest window."""

LOOKS = 3
"""Closed blocks in a row that must show it: one may be a last, smaller batch of an epoch."""

OF_EVALUATIONS = (EVALUATED, ONCE, SINCE)
"""The variants that evaluations show, and end."""

BACK = 0.25
"""The rise is over when a quarter of its noise's bar is left."""


class TrainLossReboundDetector(Detector):
    """Fires when a window stands above the lowest one; resolves when it is back."""

    code: ClassVar[str] = "SFT102"
    name: ClassVar[str] = "train-loss-rebound"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("weighted-loss-rises",)

    def __init__(self) -> None:
        self._noted = False
        self._looks = 0
        self._sudden_jump = SuddenJump()
        self._doubling = Doubling()
        self._resume_jump = ResumeJump()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind not in (TRAIN, EVAL) or signals.objective is not None:
            return ()
        if record.kind == EVAL:
            return self._lost(signals, record.step) or self._evaluated(signals, record.step)
        sudden = self._sudden_jump.look(record, lost=signals.row_lost)
        doubled = None if signals.row_lost else self._doubling.look(record)
        active = self._active
        known = active is not None and (sudden is None or active.variant not in (DOUBLED, ONCE))
        if (jump := sudden or doubled) is not None and not known:
            before, numbers = jump
            numbers |= {"loss_start": signals.first_loss, **rate_and_epoch(signals)}
            variant = SUDDEN if sudden is not None else DOUBLED
            self._active = self._rebound(record.step, before, numbers, variant)
            return self._lost(signals, record.step) or (self._active,)
        resumed = None
        if signals.edge.jump is not None:
            resumed = self._resume_jump.look(signals, record)
        if resumed is not None and self._active is None:
            variant, before, numbers = resumed
            numbers |= {"loss_start": signals.first_loss, **rate_and_epoch(signals)}
            self._active = self._rebound(record.step, before, numbers, variant)
            return (self._active,)
        if not signals.block_closed or (active is not None and active.variant in OF_EVALUATIONS):
            return ()
        if self._active is not None:
            if not _is_back(signals, self._active):
                return ()
            return self._end(record.step)
        climb = climb_of(signals, WINDOW_STEPS, MIN_RISE)
        if (
            climb is None
            or climb.rise <= bar(climb)
            or learns(climb.lowest, climb.recent, climb.accuracy_gain)
        ):
            self._looks = 0
            return self._note(signals, record.step)
        if climb.recent > climb.start or climb.start - climb.lowest <= bar(climb):
            return ()
        self._looks += 1
        if self._looks < LOOKS:
            return ()
        numbers = {**evidence(signals, climb), **signals.staircase.evidence}
        self._active = self._rebound(record.step, climb.lowest_step, numbers, "default")
        return (self._active,)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        calm = self._sudden_jump.passes(rows) and self._doubling.passes(rows)
        if not calm or not self._resume_jump.passes(signals):
            return False
        return all(map(self._closes, rows.closings))

    def _closes(self, closing: Closing) -> bool:
        """Return whether no block that closes shows a climb."""
        if self._active is not None:
            return self._active.variant in (EVALUATED, SINCE)
        if may_climb(closing, WINDOW_STEPS, MIN_RISE):
            return False
        last = closing.losses[max(0, closing.before - LARGEST_WINDOW) :]
        return self._noted or min(last) > MOST_WEIGHTED or not may_climb(closing, 0, MIN_RISE)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._sudden_jump.take(rows)
        self._doubling.take(rows)
        if rows.closings and self._active is None:
            self._looks = 0

    def _lost(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Make a sudden jump an error where the evaluation says that what was learned is lost."""
        jump = self._active
        if jump is None or jump.variant != SUDDEN:
            return ()
        seen = lost_by_evaluation(signals, jump)
        if seen is None:
            return ()
        numbers = {**jump.evidence, **seen}
        self._active = jump.replace(
            step=step, severity=Severity.ERROR, evidence=numbers, variant=LOST
        )
        return (self._active,)

    def _evaluated(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a jump between two evaluations, and for its end."""
        points = signals.main_evaluations
        if not points or points[-1].step != step:
            return ()
        active, found = self._active, jump_of(points)
        if active is not None:
            if active.variant in OF_EVALUATIONS and is_over(active.evidence, points[-1].loss):
                return self._end(step)
            if active.variant != ONCE or found is None:
                return ()
        if found is None:
            return ()
        before, variant, numbers = found
        numbers |= {"eval_series": signals.main_series, "loss_start": signals.first_loss}
        numbers |= rate_and_epoch(signals)
        self._active = self._rebound(step, before, numbers, variant)
        return (self._active,)

    def _rebound(
        self, step: int, onset: int, numbers: Mapping[str, Scalar], variant: str
    ) -> Detection:
        severity = Severity.WARNING
        return Detection(
            self.code, self.name, severity, step, onset, "loss", numbers, variant=variant
        )

    def _note(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Return the note, once, when the loss rises although more tokens are predicted."""
        if self._noted or signals.columns.accuracies[-1] is None:
            return ()
        if min(signals.block_losses[-LARGEST_WINDOW:]) > MOST_WEIGHTED:
            return ()
        climb = climb_of(signals, 0, MIN_RISE)
        if climb is None or climb.rise <= bar(climb):
            return ()
        weighted = climb.recent <= MOST_WEIGHTED
        if not weighted or not learns(climb.lowest, climb.recent, climb.accuracy_gain):
            return ()
        self._noted = True
        numbers = {
            "loss_lowest": climb.lowest,
            "loss_recent": climb.recent,
            "accuracy_gain": climb.accuracy_gain,
        }
        note, at = self.notes[0], climb.lowest_step
        return (Detection(self.code, note, Severity.INFO, step, at, "loss", numbers),)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return skip(signals, WINDOW_STEPS)


def bar(climb: Climb) -> float:
    """Return the rise that counts."""
    share = SHARE_OF_FALL * max(0.0, climb.start - climb.lowest)
    return max(NOISE_FACTOR * climb.noise, MIN_RISE * abs(climb.lowest), share)


def _is_back(signals: Signals, rebound: Detection) -> bool:
    """Return whether the last window is down again at the lowest that the rebound rose from."""
    size = window_size(signals, WINDOW_STEPS)
    lowest, noise = rebound.evidence["loss_lowest"], rebound.evidence["noise"]
    if size is None or not isinstance(lowest, float) or not isinstance(noise, float):
        return False
    recent = sum(signals.block_losses[-size:]) / size
    return recent - lowest <= max(BACK * NOISE_FACTOR * noise, MIN_RISE * abs(lowest))


def learns(before: float, loss: float, accuracy_gain: float | None) -> bool:
    """Return whether token accuracy rises with the loss, which then is no sign of harm.

    Not where the loss has doubled, unless it is so low that it may be weighted: a model that broke
    and knows its most frequent token again predicts more than an untrained one.
    """
    if accuracy_gain is None or accuracy_gain <= MOVED_ACCURACY:
        return False
    return loss <= max(MOST_WEIGHTED, LEAP * before)


def evidence(signals: Signals, climb: Climb) -> dict[str, float | int | str | None]:
    """Return the numbers behind a rise of the train loss."""
    return {
        "loss_start": climb.start,
        "loss_lowest": climb.lowest,
        "loss_recent": climb.recent,
        "noise": climb.noise,
        **rate_and_epoch(signals),
    }


def rate_and_epoch(signals: Signals) -> dict[str, float | int | str | None]:
    """Return where in its schedule the run is."""
    peak, rate = signals.peak_learning_rate, signals.learning_rate
    return {
        "peak_learning_rate": peak,
        "rate_share": rate / peak if peak and rate is not None else None,
        "epoch": signals.epoch,
    }


def skip(signals: Signals, window_steps: int = 0) -> Skip | None:
    """Return why a rise of the train loss cannot be judged, or None."""
    if (unusable := unusable_train_loss(signals)) is not None:
        return unusable
    if window_size(signals, window_steps) is not None:
        return None
    if len(signals.block_losses) < 2 * WINDOW_BLOCKS:
        values = {"points": len(signals.block_losses), "needed": 2 * WINDOW_BLOCKS}
        return Skip("few_points", values)
    return Skip("few_steps", {"steps": 2 * window_steps})
