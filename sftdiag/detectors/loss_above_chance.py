"""SFT108 loss-above-chance: the model is surely wrong about its labels, from the first records on.

Cross entropy far above the entropy of the predictions means that the model is sure of something
else than its labels; with a token accuracy near 0 the labels are not the text that it reads.
Training then teaches it to be unsure, so both signs fade within some records: they are looked for
at the start. Where only the vocabulary is known, a loss that stays above ln V for ten records says
the same, unless an evaluation loss lies below it (a train loss that is summed, not averaged). A
loss beyond what any labels cost is a sum, which SFT111 tells, and the user's own has no level.
What label smoothing adds, its share of twice ln V, is taken off: a sure model pays that for it.

Cannot see labels that are wrong in part, nor tell shifted labels from those of another row. A high
first loss alone never fires: unusual data starts high too, with one token in ten predicted.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 4):
...     row = {"step": step, "loss": 10.0, "entropy": 5.0, "mean_token_accuracy": 0.01}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
2 SFT108 error 1

References:
    Guo et al. (2017, arXiv 1706.04599): a calibrated model's loss equals its entropy.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._levels import FAR, chance, smoothed
from sftdiag.detectors.base import Detector, Skip, too_few, unusable_train_loss
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import beyond_any
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.noise import median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

RECORDS = 2
"""Records from the start that must all show it: one batch may be odd."""

NO_ACCURACY = 0.05
"""Token accuracy of labels of another text: 0.00 to 0.03 in the first records of labelled runs; 0.1
in unusual but sound data, 0.15 and more where a learning rate throws the model off later."""

FIRST_RATIO = 1.5
"""Loss over entropy in the first record: 1.85 to 2.3 on labelled runs, 1.0 for untrained models."""

NEXT_RATIO = 1.3
"""The same in the records after it, when the model has begun to doubt: 1.38 to 1.72."""

CHANCE_RECORDS = 10
"""Records above ln V, where nothing but the vocabulary is known; warm-ups mostly are over then."""

ABOVE_CHANCE = 1.05
"""Loss over ln V: untrained models start at 1.00 to 1.02, labels of another text at 1.1 to 1.3."""

MOST = 1.4
"""Loss over ln V above which the loss is no mean over tokens: labels of another text reach 1.3."""

SOME_ACCURACY = 0.3
"""Token accuracy at which the labels do belong to the text after all."""


ACCURACY = "mean_token_accuracy"
TELLING = frozenset({ACCURACY, "entropy"})
"""The columns that tell it together where the vocabulary is not known."""


class LossAboveChanceDetector(Detector):
    """Judges the first records; resolves when the tokens are predicted after all."""

    code: ClassVar[str] = "SFT108"
    name: ClassVar[str] = "loss-above-chance"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._seen = 0
        self._wrong = 0
        self._first_step = 0
        self._logged = False
        self._looked = False
        self._columns: set[str] = set()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if self._looked and self._active is None:
            return ()
        self._columns.update(TELLING.intersection(record.metrics))
        if record.kind != TRAIN or signals.objective is not None or signals.row_lost:
            return ()
        if signals.context.custom_loss:
            return ()
        accuracy, entropy = record.finite("mean_token_accuracy"), record.finite("entropy")
        if self._active is not None:
            guess = signals.context.chance_loss
            below = guess is not None and median([loss for _, loss in signals.recent]) < guess
            by_chance = self._active.variant == "chance"
            if not (below if by_chance else accuracy is not None and accuracy >= SOME_ACCURACY):
                return ()
            return self._end(record.step)
        if self._seen == 0 and len(signals.opening) > 1:
            return ()
        self._seen += 1
        if self._seen == 1:
            self._first_step = record.step
        loss = record.metrics["loss"]
        if accuracy is not None and entropy is not None:
            self._logged = True
            ratio = FIRST_RATIO if self._seen == 1 else NEXT_RATIO
            of_labels = loss - smoothed(signals)
            sure = entropy > 0.0 and ratio * entropy < of_labels <= FAR * chance(signals)
            wrong = accuracy < NO_ACCURACY and sure
            self._wrong += wrong and self._wrong == self._seen - 1
            fires = self._seen == RECORDS and self._wrong == RECORDS
            self._looked = self._seen >= RECORDS
        else:
            fires = not self._logged and self._stays_above_chance(signals)
        known = signals.context
        if not fires or beyond_any(
            signals.peak_learning_rate, known.method, adaptive=known.adaptive
        ):
            # Such a rate makes any model sure of anything within some steps.
            return ()
        self._active = Detection(
            self.code,
            self.name,
            Severity.ERROR,
            record.step,
            self._first_step,
            "loss",
            {
                "loss_first": signals.first_loss,
                "loss": loss,
                "entropy": entropy,
                "mean_token_accuracy": accuracy,
                "chance_loss": signals.context.chance_loss,
            },
            variant="default" if self._logged else "chance",
        )
        return (self._active,)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if signals.context.custom_loss or (self._looked and self._active is None):
            return True
        logged = TELLING.intersection(rows.columns)
        if self._active is not None or not logged <= self._columns:
            return False
        if self._seen == 0:
            return len(signals.opening) > 1
        return logged != TELLING and (self._logged or signals.context.chance_loss is None)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        if not self._looked and self._seen and not signals.context.custom_loss:
            self._seen += rows.count

    def _stays_above_chance(self, signals: Signals) -> bool:
        guess = signals.context.chance_loss
        if guess is None or self._seen < CHANCE_RECORDS or signals.learning_rate_rises:
            return False
        self._looked = True
        best = signals.best_evaluation()
        if best is not None and best[1].loss < guess:
            return False
        level = median(signals.opening[-RECORDS - 3 :])
        return ABOVE_CHANCE * guess <= level - smoothed(signals) <= MOST * guess

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        if signals.context.custom_loss:
            return Skip("custom_loss")
        if self._logged or self._active is not None:
            return None
        if signals.context.chance_loss is None:
            if self._columns == TELLING:
                return too_few(0, RECORDS)
            return Skip("accuracy_alone" if ACCURACY in self._columns else "no_entropy")
        if self._looked:
            return None
        if not self._seen and len(signals.opening) > 1:
            return Skip("judged_before")
        # What keeps it from looking at the records it has is the rate.
        return too_few(self._seen, CHANCE_RECORDS) or Skip("warmup")
