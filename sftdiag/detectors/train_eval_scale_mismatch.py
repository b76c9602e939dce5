"""SFT204 train-eval-scale-mismatch: the train and the evaluation loss are not on one scale.

Two signs. From the first evaluation on, the train loss beside it is a constant multiple (1.8 times
or more) of the evaluation loss, or the other way round, while the model learns: a gap that comes
from learning grows or closes, a scale does not. Or the evaluation loss is three times the train
loss and more at the first evaluations, in the first epoch, where nothing is known by heart. (A loss
above ln V beside a usual evaluation loss is SFT111's to tell: a sum, not a mean.)

The run may be sound; but losses on two scales cannot be compared, and a loss that is not divided
by the accumulation steps makes the gradient larger too.

Cannot tell a scale from label smoothing, heavy dropout or augmentation, which raise the train loss
alone, nor from an evaluation set that is harder by a constant factor.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(10, 100, 10):
...     loss = 2.0 - 0.01 * step
...     _ = monitor.feed_entry({"step": step, "loss": 4 * loss})
...     for finding in monitor.feed_entry({"step": step, "eval_loss": loss}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
30 SFT204 info 10

References:
    transformers issues 35204 and 37766: the loss grows with gradient_accumulation_steps;
    axolotl issue 2262: a loss of 83.7 with 8 accumulation steps instead of 10.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sftdiag.detectors.base import Detector, Skip, no_evaluations
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import EVAL, LogRecord
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.noise import median
from sftdiag.signals.stream import Signals

LEAST_RATIO = 1.8
"""Two accumulation steps double the loss; a tenth of it for noise. Healthy corpus runs lie between
0.6 and 1.5 at their first evaluations."""

FEW_EVALUATIONS = 3
"""Evaluations whose ratio must be constant."""

CONSTANT = 0.10
"""Share by which a ratio may differ from the median ratio."""

NOISE_FACTOR = 3.0
"""The same in units of the train loss's noise, where that is more."""

MOST_NOISE = 0.20
"""Noise beyond this share would let any ratio pass."""

LEARNED = 0.03
"""Change of the evaluation loss, as a share, from which a constant ratio says anything."""

GAP = 3.0
"""Evaluation over train loss that no fresh rows of one distribution have: healthy corpus runs stay
below 1.6 in their first epoch."""

FIRST_EPOCH = 1.0
"""Epochs within which no row is seen twice, so that nothing is known by heart."""

OVER = 2
"""Evaluations that show a gap, and after which a ratio that no longer holds is let go."""

LOST = 2.5
"""Times CONSTANT that the ratio may move once told."""


class TrainEvalScaleMismatchDetector(Detector):
    """Judges the main evaluation series; resolves when the ratio no longer holds."""

    code: ClassVar[str] = "SFT204"
    name: ClassVar[str] = "train-eval-scale-mismatch"
    severity: ClassVar[Severity] = Severity.INFO
    evaluations_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self._ratio = 1.0

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != EVAL or signals.main_series not in record.metrics:
            return ()
        if self._active is None and not _may_mismatch(signals):
            return ()
        if self.skip(signals) is not None:
            return ()
        pairs = _pairs(signals)
        if self._active is not None:
            if any(self._holds(train / loss) for _, train, loss, _ in pairs[-OVER:]):
                return ()
            return self._end(record.step)
        variant = _variant(pairs, signals.main_evaluations[0].epoch)
        if variant is None:
            return ()
        told = pairs[-OVER:] if variant == "gap" else pairs
        self._ratio = median([train / loss for _, train, loss, _ in told])
        self._active = Detection(
            self.code,
            self.name,
            Severity.INFO,
            record.step,
            told[0][0],
            signals.main_series or "eval_loss",
            self._evidence(signals, told[-1][1], told[-1][2], len(told)),
            variant=variant,
        )
        return (self._active,)

    def _holds(self, ratio: float) -> bool:
        """Return whether a later ratio is still the one that was told."""
        if self._active is not None and self._active.variant == "gap":
            return 1.0 / ratio >= LEAST_RATIO
        return abs(ratio / self._ratio - 1.0) <= LOST * CONSTANT

    def _evidence(
        self, signals: Signals, train: float, loss: float, evaluations: int
    ) -> dict[str, Scalar]:
        return {
            "train_loss": train,
            "eval_loss": loss,
            "ratio": self._ratio,
            "times": max(self._ratio, 1.0 / self._ratio),
            "evaluations": evaluations,
            "accumulation": signals.context.gradient_accumulation_steps,
        }

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if signals.objective is not None:
            return Skip(signals.objective)
        if signals.main_series is None:
            return no_evaluations(signals)
        if not signals.train_rows:
            return Skip("no_train_loss")
        if not signals.evaluations.get(signals.main_series):
            return no_evaluations(signals)
        count = len(_pairs(signals))
        if count < OVER:
            made = len(signals.main_evaluations)
            key = "few_evaluations" if made == count else "few_pairs"
            return Skip(key, {"evaluations": count, "needed": FEW_EVALUATIONS})
        return None


def _may_mismatch(signals: Signals) -> bool:
    """Return False when the last evaluation's ratio alone, whatever its noise, is none: mostly."""
    points = signals.main_evaluations
    ratio = ratio_of(points[-1]) if points else None
    return ratio is not None and max(ratio, 1.0 / ratio) >= LEAST_RATIO * (1.0 - MOST_NOISE)


def ratio_of(point: Evaluation) -> float | None:
    """Return train over evaluation loss; None where one is no likelihood or the other is lost."""
    train = point.train_loss
    if train is None or train <= 0.0 or point.loss <= 0.0:
        return None
    ratio = train / point.loss
    return ratio if 0.0 < ratio < inf else None


def _pairs(signals: Signals) -> list[tuple[int, float, float, float]]:
    """Return step, train loss, evaluation loss and the train loss's noise of each evaluation."""
    return [
        (point.step, point.train_loss, point.loss, point.train_noise)
        for point in signals.main_evaluations
        if point.train_loss is not None and ratio_of(point) is not None
    ]


def _variant(
    pairs: Sequence[tuple[int, float, float, float]], first_epoch: float | None
) -> str | None:
    """Return which sentence tells the mismatch, or None where there is none."""
    fresh = first_epoch is not None and first_epoch <= FIRST_EPOCH
    if fresh and all(loss >= GAP * train for _, train, loss, _ in pairs[:OVER]):
        return "gap"
    if len(pairs) < FEW_EVALUATIONS:
        return None
    ratios = [train / loss for _, train, loss, _ in pairs]
    middle = median(ratios)
    losses = [loss for _, _, loss, _ in pairs]
    if max(losses) - min(losses) < LEARNED * max(losses):
        return None
    if max(middle, 1.0 / middle) < LEAST_RATIO:
        return None
    for ratio, (_, train, _, noise) in zip(ratios, pairs, strict=True):
        allowed = max(CONSTANT, min(MOST_NOISE, NOISE_FACTOR * noise / train))
        if abs(ratio / middle - 1.0) > allowed:
            return None
    return "default" if middle > 1.0 else "reverse"
