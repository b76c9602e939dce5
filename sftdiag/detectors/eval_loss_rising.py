"""SFT201 eval-loss-rising: the evaluation loss has turned up for good while training goes on.

Each evaluation series is judged on its own. The rise is the lowest of the last three evaluations
above the smoothed best; it must exceed the series' own noise (from second differences, so a trend
adds nothing to it) and a small share of the loss, and the train loss must be lower than it was at
the best evaluation: when both rise the learning rate is to blame, not overfitting. Series of three
to five evaluations show no noise and get a stricter bar.

A smaller rise that many evaluations in a row show is info. A warning becomes an error when the rise
is large, has lasted and no scheduled decay of the learning rate lies ahead, in which the evaluation
loss could still fall; other series than the main one stay warnings.

The note ``epoch-staircase`` says that the train loss falls in steps at the epochs' edges while the
evaluation loss still falls: normal, and often taken for overfitting.

Cannot tell overfitting from an evaluation set of another distribution by the curve alone.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(10, 160, 10):
...     loss = 2.0 - 0.01 * step
...     _ = monitor.feed_entry({"step": step, "loss": loss})
...     row = {"step": step, "eval_loss": 1.5 + abs(step - 50) * 0.01}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
90 SFT201 warning 50
120 SFT201 error 50

References:
    Prechelt (1998), "Early stopping - but when?": rises in successive strips;
    Li et al. (2024, arXiv 2401.10359): 15 of 29 real optima come right after a decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import ClassVar

from sftdiag.detectors._staircase import Staircase
from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals import Evaluation, Signals, noise_of, second_differences
from sftdiag.values import Value

MIN_EVALUATIONS = 3
"""A best, and two worse ones after it: enough only where no more than SHORT_PLAN will come."""

SHORT_PLAN = 4
"""Evaluations planned in all, such as one an epoch, for which waiting means never judging."""

MEDIUM_PLAN = 8
"""Up to so many planned evaluations (or an unknown plan) judge from the fourth, else the fifth."""

FEW_EVALUATIONS = 6
"""From here on the series' own noise can be estimated (four second differences)."""

NOISE_FACTOR = 5.0
"""Rise in noise units. The largest rise of pure noise, over all looks of a series of 6 to 100
evaluations, has its 99.5 % quantile at 2.7 to 5.3 units (normal and Student t with 3 degrees)."""

MIN_DIFFERENCES = 3
"""Second differences from which their median says something of the noise."""

MIN_RISE = 0.03
"""Rise as a share of the best: below 3 % the benefit of stopping earlier is within what two runs
with other seeds differ by."""

PERSISTENT = 10
"""Evaluations since the best from which a smaller rise is told, as info: the share shrinks as
PERSISTENT / evaluations, since other seeds differ by the level of some evaluations, not by a rise
that all of so many show. Half of the OverfitGuard histories that overfit have risen by less than
1 % a twentieth of the run after their best."""

FEW_RISE = 0.10
"""The bar while the noise is unknown: healthy series of up to 5 evaluations in the corpus never
rose 10 % twice in a row, overfitting ones by 12 to 30 %."""

ERROR_RISE = 0.10
"""Rise as a share of the best from which the run is being wasted; with ERROR_EVALUATIONS."""

ERROR_EVALUATIONS = 4
"""Evaluations in a row above the band before an error."""

MAX_SHARE = 10.0
"""Shares beyond this are of a best near 0, and are not told."""

TRAIN_FALL = 0.01
"""Fall of the train loss since the best evaluation, as a share, that counts as learning on."""

TRAIN_NOISE_FACTOR = 2.0
"""The same fall in units of its noise; each further evaluation looks again."""

DECAY_AHEAD = 0.5
"""While the rate is above half of its peak most of a scheduled decay lies ahead."""


class _Series:
    """What is kept of one evaluation series besides its points."""

    def __init__(self) -> None:
        self.active: Detection | None = None
        self.above = 0


class _Rise(Value):
    """The rise of a series: from the smoothed best to the lowest of the last evaluations."""

    best: Evaluation
    best_level: float
    rise: float
    noise: float
    bar: float
    bar_for_info: float


class EvalLossRisingDetector(Detector):
    """Fires per evaluation series; resolves when the loss comes back to its best."""

    code: ClassVar[str] = "SFT201"
    name: ClassVar[str] = "eval-loss-rising"
    severity: ClassVar[Severity] = Severity.ERROR
    notes: ClassVar[tuple[str, ...]] = ("epoch-staircase",)

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._staircase = Staircase()

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None:
            return ()
        if record.kind == TRAIN:
            self._staircase.update(signals)
            return ()
        found: list[Detection] = []
        for series in record.eval_losses():
            points = signals.evaluations.get(series, [])
            if points and points[-1].step == record.step:
                found += self._judge(signals, series, points)
        main = signals.evaluations.get(signals.main_series or "", [])
        found += self._staircase.note(self.code, signals, main, record.step)
        return found

    def _judge(
        self, signals: Signals, series: str, points: Sequence[Evaluation]
    ) -> Sequence[Detection]:
        state = self._series.setdefault(series, _Series())
        if len(points) < _needed(signals, len(points)):
            return ()
        losses = [point.loss for point in points]
        may_rise = len(losses) < FEW_EVALUATIONS or min(losses[-3:]) > min(losses)
        if state.active is None and not may_rise:
            state.above = 0
            return ()
        rise = _rise(points, losses)
        last = points[-1]
        if rise.rise <= rise.bar:
            state.above = 0
        if rise.rise <= rise.bar_for_info or not _train_fell(rise.best, last):
            state.above = 0
            if state.active is None or last.loss > rise.best_level + rise.noise:
                return ()
            resolved, state.active = state.active.replace(step=last.step, resolved=True), None
            return (resolved,)
        severity = Severity.INFO
        if rise.rise > rise.bar:
            severity = Severity.WARNING
            state.above += 1
        if (state.active is not None and state.active.severity is Severity.ERROR) or (
            series == signals.main_series
            and rise.rise >= ERROR_RISE * abs(rise.best_level)
            and state.above >= ERROR_EVALUATIONS
            and not _decay_ahead(signals)
        ):
            severity = Severity.ERROR
        state.active = Detection(
            self.code,
            self.name,
            severity,
            last.step,
            rise.best.step,
            series,
            {**_evidence(signals, points, rise), **self._staircase.seen},
            variant="default" if _share(rise.best.loss, last.loss) else "no_share",
        )
        return (state.active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if signals.objective is not None:
            return Skip(signals.objective)
        if not signals.evaluations_seen:
            return Skip("no_eval_loss")
        most = max((len(points) for points in signals.evaluations.values()), default=0)
        if most == 0:
            return Skip("eval_loss_not_finite")
        needed = _needed(signals, most)
        if most < needed:
            return Skip("few_evaluations", {"evaluations": most, "needed": needed})
        if all(point.train_loss is None for point in signals.evaluations[_longest(signals)]):
            return Skip("no_train_loss")
        return None


def _longest(signals: Signals) -> str:
    return max(signals.evaluations, key=lambda series: len(signals.evaluations[series]))


def _needed(signals: Signals, done: int) -> int:
    """Return how many evaluations a judgement takes, given how many the run will make."""
    if not signals.progress:
        return MIN_EVALUATIONS + 1
    planned = round(done / signals.progress)
    return MIN_EVALUATIONS + (planned > SHORT_PLAN) + (planned > MEDIUM_PLAN)


def _rise(points: Sequence[Evaluation], losses: Sequence[float]) -> _Rise:
    """Return the rise of a series of at least MIN_EVALUATIONS so far."""
    count = len(points)
    if count < FEW_EVALUATIONS:
        index = min(range(count), key=losses.__getitem__)
        after = losses[index + 1 :]
        rise = min(after[-2:]) - losses[index] if len(after) >= 2 else 0.0
        bar = FEW_RISE * abs(losses[index])
        return _Rise(points[index], losses[index], rise, 0.0, bar, bar)
    triples = zip(losses, losses[1:], losses[2:-1], strict=False)
    # The middle one of three, written out: this is most of the work on long series.
    middles = (max(min(a, b), min(max(a, b), c)) for a, b, c in triples)
    smooth = [(losses[0] + losses[1]) / 2, *middles]
    index = min(range(len(smooth)), key=smooth.__getitem__)
    level = min(smooth[index], max(losses[index], smooth[index]))
    lowest = min(range(max(0, index - 1), index + 2), key=losses.__getitem__)
    best = points[lowest]
    noise = _noise_beside(losses, lowest)
    bar = max(NOISE_FACTOR * noise, MIN_RISE * abs(level))
    patience = min(1.0, PERSISTENT / max(1, points[-1].number - best.number))
    bar_for_info = max(NOISE_FACTOR * noise, patience * MIN_RISE * abs(level))
    return _Rise(best, level, min(losses[-3:]) - level, noise, bar, bar_for_info)


def _noise_beside(losses: Sequence[float], turn: int) -> float:
    """Return the noise of the series on both sides of its best: the turn itself is no noise."""
    differences = second_differences(losses)
    beside = [d for i, d in enumerate(differences, start=1) if abs(i - turn) > 1]
    return noise_of(beside if len(beside) >= MIN_DIFFERENCES else differences)


def _train_fell(best: Evaluation, last: Evaluation) -> bool:
    """Return whether the train loss is lower than it was at the best evaluation."""
    if best.train_loss is None or last.train_loss is None:
        return False
    noise = TRAIN_NOISE_FACTOR * sqrt(best.train_noise**2 + last.train_noise**2)
    return best.train_loss - last.train_loss > max(TRAIN_FALL * abs(best.train_loss), noise)


def _decay_ahead(signals: Signals) -> bool:
    """Return whether most of a scheduled learning-rate decay has not happened yet."""
    rate, peak = signals.learning_rate, signals.peak_learning_rate
    if rate is None or not peak:
        return False
    scheduler = signals.context.lr_scheduler_type
    if scheduler is not None and scheduler.startswith("constant"):
        return False
    if scheduler is None and rate == peak:
        return False
    return rate > DECAY_AHEAD * peak


def _share(best: float, last: float) -> float | None:
    """Return the rise as a share of the best, or None where a share of next to nothing misleads."""
    share = (last - best) / abs(best) if best else inf
    return share if 0.0 < share < MAX_SHARE else None


def _evidence(signals: Signals, points: Sequence[Evaluation], rise: _Rise) -> dict[str, Scalar]:
    last = points[-1]
    return {
        "eval_loss_first": points[0].loss,
        "eval_loss_min": rise.best.loss,
        "eval_loss_min_step": rise.best.step,
        "eval_loss_min_epoch": rise.best.epoch,
        "eval_loss_last": last.loss,
        "evaluations": last.number,
        "evaluations_since_min": last.number - rise.best.number,
        "rise": rise.rise,
        "rise_share": _share(rise.best.loss, last.loss),
        "noise": rise.noise,
        "train_loss_at_min": rise.best.train_loss,
        "train_loss_last": last.train_loss,
        "epoch": last.epoch,
        "decay_ahead": int(_decay_ahead(signals)),
    }
