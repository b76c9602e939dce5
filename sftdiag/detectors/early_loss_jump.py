"""SFT109 early-loss-jump: the training loss jumps in the opening of the run.

How a learning rate that is too high mostly looks with Adam: no swing, but a jump in the first
records, while the rate climbs or at once, then a quiet descent that ends high. The median of five
records must exceed the first loss by the opening's own noise and by a share of the loss, with no
fall before it. Where the opening is shorter than two periods of length grouping, whose saw-tooth
looks the same, a smaller jump waits until the lowest fifth of a whole period is as high. A leap to
a multiple of the first rows, which SFT104 tells until the loss is back there, is told at once.

Or, milder: the loss fell during the warm-up, then rose again while the rate went on to its peak,
and the lowest fifth of a whole period stays above where it was; or evaluations of the first epoch
did. Where rows are known to be taken at random, one window that is clearly above the first says so,
too. A train loss that is still up two periods after its onset is an error, and so are evaluations
that stay up for two periods more; after a leap, or above where rows at random began, already two
evaluations, or most of the plan.

Cannot see a milder excess of the rate, which only ends somewhat high; says nothing when token
accuracy rises in the jump, as with losses that are weighted by the model's own probability (DFT).

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 41):
...     loss = 6.0 if step == 1 else 12.0 - 0.15 * step
...     for finding in monitor.feed_entry({"step": step, "loss": loss, "learning_rate": 1e-3}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
7 SFT109 warning 1

References:
    Lewkowycz et al. (2020, arXiv 2003.02218): the catapult of large learning rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from sftdiag.detectors._rise_with_rate import (
    LAST_EVALUATIONS,
    MIN_RISE,
    Rise,
    evaluations_fall,
    last_period,
    low_end,
    may_rise,
    of_evaluations,
    of_train_loss,
    up_since,
)
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.detectors.train_loss_rebound import learns
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import EVAL, TRAIN, LogRecord
from sftdiag.signals.climb import WINDOW_STEPS, window_size
from sftdiag.signals.noise import MOVED_ACCURACY, median, noise_scale, unsure_factor
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import OPENING, Signals

MEDIAN_OF = 5
"""Records whose median is compared: two bad batches among them do not matter."""

MIN_RECORDS = 7
"""Records before the opening's noise is known: five second differences, of which little is known;
``unsure_factor`` makes the bar 2.3 times as high."""

NOISE_FACTOR = 5.5
"""Jump in units of the opening's noise. The first loss alone is one draw of it: of generated
healthy runs with up to 30 % noise 1.2 % alarmed at 3.5 units and 0.5 % at 4.5."""

NOISE_FACTOR_AGREED = 3.5
"""The same where token accuracy has fallen with it: the model did get worse."""

MIN_JUMP = 0.15
"""Jump as a share of the first loss: labelled runs jumped by 0.19 to 70, healthy ones by up to 0.12
where their noise was small."""

MIN_JUMP_EARLY = 0.5
"""The same within two periods of length grouping, unless token accuracy agrees: its saw-tooth rises
by up to half."""

LATEST = 4 * WINDOW_STEPS
"""Steps after which a jump that waits for a whole period is let go: the loss has come down."""

LASTING = 2
"""Periods after the onset, at whose end a loss that is still up makes an error, if it took no
longer to tell: all labelled runs that were so ended high or in NaN. Else it must stay up as long
again: rows sorted in long blocks rose and came back in 4 of 10,000 generated healthy runs. Of
evaluations these are periods after they were told, at the rate's peak; none may have come back."""

STANDS = 0.5
"""Share of a rise that every later evaluation must still stand at: one that the whole rise hardly
passed its bar with would come back by its own noise."""

FALL_BEFORE = 0.1
"""A loss that has fallen by so much first is not in its opening any more: SFT102."""

FALL_BEFORE_LEAP = 0.5
"""The same where the loss leaps to a multiple of its highest: noise alone makes rows a tenth lower,
and SFT104, which tells the leap, is over as soon as the loss is back at its first value."""


class EarlyLossJumpDetector(Detector):
    """Looks at :data:`~sftdiag.signals.stream.OPENING` records and the warm-up; fires once."""

    code: ClassVar[str] = "SFT109"
    name: ClassVar[str] = "early-loss-jump"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._level = inf
        self._told = 0
        self._waited = False
        self._over = False
        self._waits = False
        self._peak = -inf
        self._peak_step = 0
        self._agreed = False
        self._leapt = False
        self._evaluated = -inf
        self._first_step: int | None = None
        self._first_accuracy: float | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None or record.kind not in (TRAIN, EVAL):
            return ()
        if self._active is not None:
            return self._stays_up(signals, record)
        if record.kind == EVAL:
            return self._after_a_fall(signals, record.step, of_evaluations(signals), "evaluation")
        if self._over and not signals.block_closed:
            return ()
        found = () if self._over else self._above_the_first(signals, record)
        rise = of_train_loss(signals) if signals.block_closed else None
        return found or self._after_a_fall(signals, record.step, rise, "after_fall")

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if self._active is not None:
            return self._waited
        if not (self._over or signals.begins_in_mid_run or self._opens(signals, rows)):
            return False
        return not any(may_rise(signals, rows, closing) for closing in rows.closings)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        if self._active is None and not signals.begins_in_mid_run:
            self._over = self._over or len(signals.opening) + rows.count >= OPENING

    def _opens(self, signals: Signals, rows: Rows) -> bool:
        """Return whether the opening goes on in these rows without a new peak of the medians."""
        opening = signals.opening
        if self._waits or self._first_step is None or not 0 < len(opening) < OPENING:
            return False
        first = opening[0]
        if first <= 0.0 or self._peak - first > MIN_JUMP * first:
            return False
        lowest, fallen = min(opening), (1 - FALL_BEFORE) * first
        seen = opening + rows.losses[: OPENING - len(opening)]
        for end in range(len(opening) + 1, len(seen) + 1):
            lowest = min(lowest, seen[end - 1])
            if lowest < fallen:
                return True
            if end > MEDIAN_OF and median(seen[end - MEDIAN_OF : end]) > self._peak:
                return False
        return True

    def _after_a_fall(
        self, signals: Signals, step: int, rise: Rise | None, variant: str
    ) -> Sequence[Detection]:
        if rise is None:
            return ()
        level = (1.0 + MIN_RISE) * rise.lowest
        if rise.lost_since is not None:
            self._leapt, self._peak_step, level = True, rise.lost_since, rise.first
            self._evaluated = rise.evaluated
        if rise.series != "loss":
            level = rise.lowest + STANDS * (rise.recent - rise.lowest)
        return self._fire(signals, step, rise.step, rise.numbers, variant, level, rise.series)

    def _stays_up(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Make it an error where the loss has not come back for some periods."""
        jump = self._active
        if jump is None or self._waited:
            return ()
        # Of evaluations at the rate's peak, and so from when they were told.
        of_train = jump.series == "loss"
        since = jump.onset_step if of_train else self._told
        took = self._told - jump.onset_step
        lasted = signals.last_step >= max(since + LASTING * WINDOW_STEPS, self._told + took)
        if of_train:
            up = self._train_stays_up(signals, lasted=lasted)
        else:
            up = self._evaluations_stay_up(signals, jump.series, lasted=lasted)
        if up is None:
            return ()
        self._waited = True
        if not up:
            return ()
        self._active = jump.replace(step=record.step, severity=Severity.ERROR)
        return (self._active,)

    def _train_stays_up(self, signals: Signals, *, lasted: bool) -> bool | None:
        """Return whether the train loss is still up; None where nothing says so yet."""
        if self._leapt and up_since(signals, self._peak_step, self._level, self._evaluated):
            return True
        if not lasted or not signals.block_closed:
            return None
        return low_end(last_period(signals)) > self._level

    def _evaluations_stay_up(self, signals: Signals, series: str, *, lasted: bool) -> bool | None:
        """Likewise whether all evaluations since the finding were up."""
        points = signals.main_evaluations
        since = [point.loss for point in points if point.step > self._told]
        if signals.main_series != series or not since:
            return None
        if min(since) <= self._level:
            return False
        return True if lasted and len(since) >= LAST_EVALUATIONS else None

    def _above_the_first(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        if self._over or signals.begins_in_mid_run:
            return ()
        if self._waits:
            return self._after_a_period(signals, record)
        opening = signals.opening
        self._over = len(opening) >= OPENING
        if not opening or opening[0] <= 0.0 or signals.row_lost:
            return ()
        if len(opening) == 1:
            self._first_step = record.step
            self._first_accuracy = record.finite("mean_token_accuracy")
        if self._first_step is None:
            # The log went back behind its opening, which has been judged.
            self._over = True
            return ()
        first, level = opening[0], median(opening[-MEDIAN_OF:])
        if signals.leap is not None and min(opening) >= (1 - FALL_BEFORE_LEAP) * first:
            self._peak, self._peak_step, self._leapt = signals.leap.level, record.step, True
            return self._fire_above(signals, record.step)
        if len(opening) < MEDIAN_OF + 1:
            return ()
        fell = min(opening) < (1 - FALL_BEFORE) * first
        gain = self._accuracy_gain(record)
        if not fell and not learns(first, level, gain) and level > self._peak:
            self._peak, self._peak_step = level, record.step
            self._agreed = gain < -MOVED_ACCURACY
        if len(opening) < MIN_RECORDS:
            return ()
        if evaluations_fall(signals, self._first_step):
            return ()
        # The noise is known better with every record, so a peak is tried again.
        jump = self._peak - first
        if jump <= MIN_JUMP * first:
            return ()
        factor, share = NOISE_FACTOR, MIN_JUMP
        if self._agreed:
            factor = NOISE_FACTOR_AGREED
        elif record.step - self._first_step < 2 * WINDOW_STEPS:
            share = MIN_JUMP_EARLY
        bar = factor * unsure_factor(len(opening)) * noise_scale(opening)
        if jump <= max(share * first, bar):
            if self._over and jump > max(MIN_JUMP * first, bar):
                self._over, self._waits = False, True
            return ()
        return self._fire_above(signals, record.step)

    def _after_a_period(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Fire when a whole period of length grouping, its low end too, is that high."""
        first_step, first = self._first_step, signals.opening[0]
        if first_step is None or record.step - first_step > LATEST:
            self._over = True
            return ()
        size = window_size(signals, WINDOW_STEPS)
        if not signals.block_closed or size is None:
            return ()
        if low_end(signals.block_losses[-size:]) <= (1 + MIN_JUMP) * first:
            return ()
        return self._fire_above(signals, record.step)

    def _fire_above(self, signals: Signals, step: int) -> Sequence[Detection]:
        first = signals.opening[0]
        numbers: dict[str, Scalar] = {
            "loss_first": first,
            "loss_jump": self._peak,
            "jump_step": self._peak_step,
        }
        onset = self._first_step if self._first_step is not None else step
        level = (1.0 + MIN_JUMP) * first
        return self._fire(signals, step, onset, numbers, "default", level)

    def _fire(
        self,
        signals: Signals,
        step: int,
        onset: int,
        numbers: Mapping[str, Scalar],
        variant: str,
        level: float,
        series: str = "loss",
    ) -> Sequence[Detection]:
        self._level, self._told = level, step
        rates = {
            "learning_rate": signals.learning_rate,
            "peak_learning_rate": signals.peak_learning_rate,
        }
        evidence = {**numbers, **rates}
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            step,
            onset,
            series,
            evidence,
            variant=variant,
        )
        return (self._active,)

    def _accuracy_gain(self, record: LogRecord) -> float:
        """Return the token accuracy over the first record's; 0 where it is not logged."""
        accuracy = record.finite("mean_token_accuracy")
        if accuracy is None or self._first_accuracy is None:
            return 0.0
        return accuracy - self._first_accuracy

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        if signals.begins_in_mid_run:
            return Skip("no_first_records")
        if len(signals.opening) < MIN_RECORDS:
            values = {"points": len(signals.opening), "needed": MIN_RECORDS}
            return Skip("few_points", values)
        return None
