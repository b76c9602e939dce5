"""SFT111 implausible-loss: a loss at a level that a mean cross entropy over text cannot have.

What the level alone proves, in variants:

- ``far``: three times ln V and more, from the first rows on: a sum, or a broken model;
- ``above``: above ln V in every row, after the warm-up too (up to 1.4 times a known ln V that is
  SFT108's to tell);
- ``summed``: the same beside a usual evaluation loss, or a usual loss once it is divided by the
  known accumulation steps: a sum, not a mean;
- ``blind``: within half a percent of ln V in every row: a blind guess that does not move;
- ``random_weights``: first loss and entropy those of a blind guess, no token right: the pretrained
  weights are not there, whatever falls later; an error where this run cannot make up for them: an
  adapter trains none of them, and answers alone, of fewer tokens than the model has weights, teach
  it no language;
- ``resting``: half of the plan is done and the loss has never been below 6 nats, though it began no
  blind guess: far above what a pretrained model has on text;
- ``low_eval``, ``low_train``: near 0 within the first epoch, where no row was seen twice; not where
  the checks saw that the answers can cost so little (copies of their prompts, labels of classes);
- ``negative``: below 0, which no likelihood is.

A first loss above ln V that comes down to a usual level is the note ``first-loss-above-chance``.
Of a loss that is a sum over labels by design, as wav2vec2's configuration makes CTC's, heights say
nothing: known from the configuration, or from word or character error rates beside evaluations.
Of a loss of the user's own only ``summed`` is told, where an evaluation is as many times lower as
steps are accumulated. Label smoothing raises all levels but a blind guess's by its share of twice
ln V.

Cannot see a level that is wrong and usual (a loss divided once too often); says nothing of a loss
that was at a usual level before (SFT104), nor in reinforcement-learning and preference logs.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 10):
...     row = {"step": step, "loss": 138.0 - step, "learning_rate": 2e-5}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
3 SFT111 warning 1

References:
    transformers issues 35204 and 37766 and axolotl issue 2039: sums over accumulation steps;
    Karpathy, "A recipe for training neural networks": the first loss against ln V.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log

from sftdiag.context import RunContext
from sftdiag.detectors._levels import (
    ABOVE,
    FAR,
    NEAR_BLIND,
    NEAR_ZERO,
    USUAL_SHARE,
    WIDER,
    Bounds,
    blind_guess,
    chance,
    climbs,
    is_beside,
    is_easy,
    is_sum,
    is_toy,
    left_below,
    measured,
    near_zero,
    noisy_guess,
    rests,
    smoothed,
    span,
)
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.detectors.loss_above_chance import MOST, NO_ACCURACY
from sftdiag.detectors.train_eval_scale_mismatch import CONSTANT, FIRST_EPOCH, ratio_of
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import beyond_any, speak_of
from sftdiag.records import EVAL, TRAIN, LogRecord
from sftdiag.signals.leap import AVERAGED
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals
from sftdiag.signals.zeros import LEARNED
from sftdiag.vocabularies import LARGEST_VOCABULARY, SMALLEST_VOCABULARY

FAR_ROWS = 3
"""Rows, all of them far above, that settle it: one may be an odd batch."""

MEAN_ROWS = 2
"""The same of means over :data:`~sftdiag.signals.leap.AVERAGED` steps at a rate beyond every range;
and rows beside an evaluation that is no sum: within one row a loss may leap and come down."""

ROWS = 5
"""Rows, all of them above or at ln V, with the rate no longer climbing."""

ROWS_WITHOUT_RATE = 10
"""The same in a log without a learning rate: warm-ups are mostly over by then."""

NEGATIVE_ROWS = 3
"""Rows below 0: a rounded 0 is not."""

LEAST_NEGATIVE = 1e-4
"""What a mean of small losses can be off by in half precision."""

HUGE = 64.0
"""Times ln V that no accumulation and no number of processes in use explains."""

LEARNS = 0.1
"""Fall from the first row from which a loss so high learns, as a sum over labels does: it may be
one, of hundreds of labels, whatever the accumulation and its evaluations say. Labelled runs that
are broken at such a level fall by 1 % in as many rows, or are back at a usual one soon."""

SUMMED = "summed"

HEIGHTS = ("far", "above")
"""Variants that an evaluation tells more of."""


class ImplausibleLossDetector(Detector):
    """Judges levels; one finding at a time, the first that fits."""

    code: ClassVar[str] = "SFT111"
    name: ClassVar[str] = "implausible-loss"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("first-loss-above-chance",)

    def __init__(self) -> None:
        self._rows = 0
        self._first_step = 0
        self._lowest = inf
        self._highest = -inf
        self._negative = 0
        self._noted = False
        self._thrown = False
        self._bounds = Bounds()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None:
            return ()
        if record.kind == EVAL:
            return self._evaluated(signals, record)
        if record.kind != TRAIN or signals.row_lost or signals.zero not in (None, LEARNED):
            return ()
        loss = record.metrics["loss"]
        self._rows += 1
        if self._rows == 1:
            self._first_step = record.step
        if loss < self._lowest:
            self._lowest = loss
        if loss > self._highest:
            self._highest = loss
        if loss <= -LEAST_NEGATIVE:
            self._negative += 1
        if signals.context.custom_loss:
            return ()
        if self._active is not None:
            return self._follow(signals, record.step)
        if self._is_usual(signals, loss):
            return ()
        return self._judge(signals, record) or self._note(signals, record.step)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if signals.context.custom_loss:
            return True
        return self._active is None and self._is_usual(signals, rows.low)

    def _is_usual(self, signals: Signals, low: float) -> bool:
        """Return whether the run came down to a usual level, where such a loss tells nothing."""
        if self._rows < FAR_ROWS or self._negative or low < NEAR_ZERO:
            return False
        bounds, first, lowest = self._bounds.of(signals), signals.first_loss, self._lowest
        if not (self._noted or first is None or first <= bounds.first):
            return False
        # Far below every level; or below those that are high, and too wide for a guess.
        moved = lowest < bounds.high and self._highest > WIDER * lowest
        return 2 * lowest < bounds.lowest or moved

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._rows += rows.count
        self._lowest = min(self._lowest, rows.low)
        self._highest = max(self._highest, rows.high)

    def _judge(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look at the train losses so far for the first variant that fits."""
        step, bound = record.step, chance(signals)
        if self._negative == NEGATIVE_ROWS:
            return self._fire(signals, step, "negative", Severity.WARNING)
        if self._rows == 1:
            return self._random_weights(signals, record)
        if near_zero(signals, FAR_ROWS) and not is_easy(signals):
            return self._fire(signals, step, "low_train", Severity.WARNING)
        if is_sum(signals):
            return ()
        known, rate = signals.context, signals.peak_learning_rate
        self._thrown = beyond_any(rate, known.method, adaptive=known.adaptive)
        enough = MEAN_ROWS if self._thrown and span(signals) >= AVERAGED else FAR_ROWS
        if self._rows >= enough and self._lowest > FAR * bound + smoothed(signals):
            return self._high(signals, step, "far")
        settled = self._rows >= (ROWS if signals.learning_rate is not None else ROWS_WITHOUT_RATE)
        if not settled or climbs(signals):
            return ()
        low, high = self._lowest, self._highest
        guess = blind_guess(signals, low, high) or noisy_guess(signals, low, high)
        if guess is not None:
            return self._fire(signals, step, "blind", Severity.ERROR, guess)
        # SFT108 tells what lies a little above a known vocabulary.
        above = ABOVE if signals.context.chance_loss is None else MOST
        if self._lowest > above * bound + smoothed(signals):
            return self._high(signals, step, "above")
        if rests(signals, self._lowest):
            return self._fire(signals, step, "resting", Severity.WARNING)
        return ()

    def _random_weights(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look at the first row: does the model guess blindly, and is it one that should not?"""
        accuracy, entropy = record.finite("mean_token_accuracy"), record.finite("entropy")
        if accuracy is None or entropy is None or accuracy >= NO_ACCURACY:
            return ()
        guess = signals.context.chance_loss or log(SMALLEST_VOCABULARY)
        if is_toy(guess):
            return ()
        low, high = NEAR_BLIND * guess, ABOVE * chance(signals)
        blind = entropy >= low and low <= record.metrics["loss"] <= high
        if not blind or not speak_of(signals.context.total_parameters):
            return ()
        hopeless = _stays_random(signals.context)
        severity = Severity.ERROR if hopeless else Severity.WARNING
        return self._fire(signals, record.step, "random_weights", severity, guess)

    def _high(self, signals: Signals, step: int, variant: str) -> Sequence[Detection]:
        """Fire for a loss above ln V: a sum where one explains it, else by what it costs."""
        bound = chance(signals)
        steps = signals.context.gradient_accumulation_steps
        loss = signals.recent[-1][1]
        if steps is not None and steps > 1 and loss / steps < USUAL_SHARE * bound:
            return self._fire(signals, step, SUMMED, Severity.WARNING, times=float(steps))
        points = signals.main_evaluations
        # An evaluation is made one batch at a time: nothing is summed there but over labels.
        no_sum = steps == 1 or self._lowest > HUGE * bound
        no_sum |= bool(points) and points[-1].loss > ABOVE * bound
        # A sum over labels falls as its mean does; what is broken need not.
        no_sum &= loss > (1.0 - LEARNS) * (signals.first_loss or 0.0)
        # At such a rate a loss leaps from the first steps on.
        no_sum |= self._thrown
        return self._fire(signals, step, variant, Severity.ERROR if no_sum else Severity.WARNING)

    def _evaluated(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look at an evaluation: beside a train loss above ln V, and for one near 0."""
        series = signals.main_series
        loss = record.finite(series) if series else None
        if series is None or loss is None or not signals.main_evaluations:
            return ()
        point = signals.main_evaluations[-1]
        active, ratio = self._active, ratio_of(point)
        if active is not None and active.variant == SUMMED:
            numbers = measured(active.evidence, signals.main_evaluations)
            self._active = active.replace(evidence=numbers)
            return (self._active,)
        if active is not None and active.variant not in HEIGHTS:
            return ()
        if active is not None and is_sum(signals):
            return self._end(record.step)
        known = signals.context
        beside = is_beside(point) and self._rows >= MEAN_ROWS
        if beside and ratio is not None and self._lowest > log(LARGEST_VOCABULARY):
            steps = known.gradient_accumulation_steps or 1
            # The user's own may be high by what they add to it, but not by just as many times.
            if not known.custom_loss or (steps > 1 and abs(ratio / steps - 1.0) <= CONSTANT):
                return self._fire(signals, record.step, SUMMED, Severity.WARNING, times=ratio)
        late = signals.epoch is None or signals.epoch > FIRST_EPOCH
        if active is not None or late or known.custom_loss:
            return ()
        if not 0.0 < loss < NEAR_ZERO or is_easy(signals):
            return ()
        return self._fire(signals, record.step, "low_eval", Severity.WARNING)

    def _fire(
        self,
        signals: Signals,
        step: int,
        variant: str,
        severity: Severity,
        guess: float | None = None,
        times: float | None = None,
    ) -> Sequence[Detection]:
        points = signals.main_evaluations
        numbers: dict[str, Scalar] = {
            "loss_first": signals.first_loss,
            "loss": signals.recent[-1][1] if signals.recent else signals.first_loss,
            "loss_lowest": self._lowest,
            "chance_loss": guess or chance(signals),
            "vocabulary": signals.context.vocab_size or LARGEST_VOCABULARY,
            "rows": self._rows,
            "eval_loss": points[-1].loss if points else None,
            "times": times,
            "accumulation": signals.context.gradient_accumulation_steps,
            "epoch": signals.epoch,
            "peak_learning_rate": signals.peak_learning_rate,
        }
        known = (self.code, self.name, severity, step, self._first_step or step, "loss", numbers)
        self._active = Detection(*known, variant=variant)
        return (self._active,)

    def _follow(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Resolve a level that is left for good; what a few rows prove for all time stays."""
        assert self._active
        last = [loss for _, loss in signals.recent][-FAR_ROWS:]
        below = left_below(signals, self._active)
        if below is None or len(last) < FAR_ROWS or max(last) >= below:
            return ()
        return self._end(step)

    def _note(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Say once that the first loss was above ln V, when the loss has come down."""
        first, bound = signals.first_loss, chance(signals)
        usual = ABOVE * bound + smoothed(signals)
        if is_sum(signals):
            return ()
        if self._noted or first is None or first <= usual or self._rows <= FAR_ROWS:
            return ()
        last = [loss for _, loss in signals.recent][-FAR_ROWS:]
        if max(last) >= USUAL_SHARE * bound:
            return ()
        self._noted = True
        numbers = {"loss_first": first, "loss": last[-1], "chance_loss": bound}
        name, onset = self.notes[0], self._first_step
        return (Detection(self.code, name, Severity.INFO, step, onset, "loss", numbers),)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        unusable = unusable_train_loss(signals)
        if unusable is None and signals.context.custom_loss and self._active is None:
            return Skip("custom_loss")
        return unusable


def _stays_random(known: RunContext) -> bool:
    """Return whether a run that begins with random weights surely ends without a language model.

    Hoffmann et al. (2022): a model is trained from nothing with some 20 tokens a weight. Of a small
    model's runs that saw a hundredth of one, all ended above the loss of the base that they lacked.
    """
    if known.method not in (None, "full"):
        return True
    rows, length, size = known.effective_batch_size, known.max_length, known.total_parameters
    if rows is None or length is None or size is None or known.max_steps is None:
        return False
    answers = bool(known.assistant_only_loss or known.completion_only_loss)
    return answers and known.max_steps * rows * length < size
