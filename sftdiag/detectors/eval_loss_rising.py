"""SFT201 eval-loss-rising: the evaluation loss has turned up for good while training goes on.

Each evaluation series is judged on its own. The rise is measured from the smoothed best; it must
exceed the series' own noise and a small share of the loss, and the train loss must be lower than at
the best evaluation: when both rise the learning rate is to blame, not overfitting. Three
evaluations must agree, or two where the train loss has clearly fallen; a slower rise counts where
it is steady and the plan leaves time for it to become as large. A rise far beyond the series' own
noise counts however few show it; else series of three to five evaluations get a stricter bar.

A smaller rise that many evaluations in a row show is info. A warning becomes an error when the rise
has lasted and is larger than what the decay of the learning rate that is still to come could take
back, the sooner the more the train loss has fallen; at once, and from three evaluations on, where
that has collapsed and half of the plan is left. Other series than the main one stay warnings, and
so does a rise in a log without any train loss: what that did is named as missing.

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
70 SFT201 warning 50
90 SFT201 error 50

References:
    Prechelt (1998), "Early stopping - but when?": rises in successive strips;
    Li et al. (2024, arXiv 2401.10359): 15 of 29 real optima come right after a decay.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._eval_few import FEW_RISE, severity_of_few
from sftdiag.detectors._eval_rise import (
    MIN_RISE,
    STANDS,
    UNSEEN,
    Fall,
    Rise,
    first_rise,
    floor_since,
    share_of,
    smoothed_rise,
    stands_out,
    steadiness,
    train_fall,
)
from sftdiag.detectors._eval_wasted import COLLAPSE, collapsed, decay_left, wasted
from sftdiag.detectors._staircase_note import staircase_note
from sftdiag.detectors.base import Detector, Skip, no_evaluations
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.stream import Signals

MIN_EVALUATIONS = 3
"""A best, and two worse ones after it: enough only where no more than SHORT_PLAN will come."""

SHORT_PLAN = 4
"""Evaluations planned in all, such as one an epoch, for which waiting means never judging."""

MEDIUM_PLAN = 8
"""Up to so many planned evaluations (or an unknown plan) judge from the fourth, else the fifth."""

FEW_EVALUATIONS = 6
"""From here on the series' own noise can be estimated (three third differences)."""

NOISE_FACTOR = 5.0
"""Rise in noise units. The largest rise of pure noise, over all looks of a series of 6 to 100
evaluations, has its 99.5 % quantile at 2.7 to 5.3 units (normal and Student t with 3 degrees)."""

CLEAR_FALL = 0.10
"""Fall of the train loss since the best, as a share, from which two evaluations may say what else
takes three: of 14,010 generated healthy runs 9 more alarm so, and 48 more with any fall."""

STEADY_FACTOR = 4.0
"""Noise units of a steady rise, whose evaluations are weighed together: 7 of those 9."""

STEADY_EVALUATIONS = 3
"""Evaluations since the best that make a rise steady."""

STEADY_RISE = 0.015
"""Least rise of them: half of MIN_RISE, so that at most half of what is warned of is foreseen."""

STILL_TO_COME = 1 / 3
"""What the rest of the plan adds to a steady rise, in units of its slope so far: a decay to 0,
linear or cosine, leaves a half to a third of what the present rate gives."""

LEAST_RISE = 0.003
"""Share of the first train loss that a rise must be: less costs nothing, though it is a large share
of a loss near 0 (copies of the prompt, from 0.25: 0.0032, then 0.0037, then 0.0015)."""

NEXT_TO_NOTHING = 0.05
"""Evaluation loss, in nats, up to which a rise is none to speak of where it is no tenth of the
first train loss either: the labels still have 95 % of the probability, and what moves it are the
few rows that a surer model is wrong about (classifiers: 0.01, then 0.02, at the same accuracy). The
labelled runs that overfit end at 0.32 or above."""

STILL_LEARNED = 0.1
"""That share of the first train loss: in units of their own all losses may be small."""

PERSISTENT = 10
"""Evaluations since the best from which a smaller rise is told, as info: the share shrinks as
PERSISTENT / evaluations, since other seeds differ by the level of some evaluations, not by a rise
that all show. Half of OverfitGuard's overfitting histories rose by less than 1 % so early."""


GREAT_RISE = 0.25
"""Share of the best by which three evaluations in a row lie above it, while the train loss fell
by COLLAPSE, for which the series' own noise is not asked: weights that swing so far do not learn
their rows meanwhile."""


class EvalLossRisingDetector(Detector):
    """Fires per evaluation series; resolves when the loss comes back to its best."""

    code: ClassVar[str] = "SFT201"
    name: ClassVar[str] = "eval-loss-rising"
    severity: ClassVar[Severity] = Severity.ERROR
    evaluations_only: ClassVar[bool] = True
    notes: ClassVar[tuple[str, ...]] = ("epoch-staircase",)

    def __init__(self) -> None:
        self._rising: dict[str, Detection] = {}
        self._noted = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if signals.objective is not None or record.kind == TRAIN:
            return ()
        found: list[Detection] = []
        for series in signals.eval_losses:
            points = signals.evaluations.get(series, [])
            if points and points[-1].step == record.step:
                found += self._judge(signals, series, points)
        main = signals.main_evaluations
        if not self._noted and (note := staircase_note(self.code, signals, main, record.step)):
            self._noted = True
            found.append(note)
        return found

    def _judge(
        self, signals: Signals, series: str, points: Sequence[Evaluation]
    ) -> Sequence[Detection]:
        if len(points) < MIN_EVALUATIONS:
            return ()
        active = self._rising.get(series)
        losses = [point.loss for point in points]
        few = len(losses) < FEW_EVALUATIONS
        if active is None and min(losses[-1:] if few else losses[-2:]) <= min(losses):
            return ()
        rise = first_rise(losses) if few else smoothed_rise(losses)
        best, last = points[rise.index], points[-1]
        learned = UNSEEN
        if signals.train_rows:
            learned = train_fall(points, rise.index, signals.peak_learning_rate_step)
        if few:
            missing = _needed(signals, len(losses)) - len(losses)
            by_heart = collapsed(signals, learned)
            severity = severity_of_few(losses, rise, learned, missing, collapsed=by_heart)
        else:
            severity = _severity(signals, points, losses, rise, learned)
        first = abs(signals.first_loss or 0.0)
        if last.loss - min(losses) < LEAST_RISE * first or _is_nothing(losses, first):
            severity = None
        if severity is None:
            if active is None or last.loss > rise.level + rise.noise:
                return ()
            return (self._rising.pop(series).replace(step=last.step, resolved=True),)
        # By another metric the run may still get better while the loss of its errors rises.
        can_stop = series == signals.main_series and signals.chosen_by_loss
        if severity is Severity.ERROR and not can_stop:
            severity = Severity.WARNING
        if active is not None and active.severity is Severity.ERROR:
            severity = Severity.ERROR
        found = Detection(
            self.code,
            self.name,
            severity,
            last.step,
            best.step,
            series,
            {**_evidence(signals, points, rise), **signals.staircase.evidence},
            variant="default" if share_of(best.loss, last.loss) else "no_share",
        )
        self._rising[series] = found
        return (found,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if signals.objective is not None:
            return Skip(signals.objective)
        if not signals.evaluations_seen:
            return no_evaluations(signals)
        most = max((len(points) for points in signals.evaluations.values()), default=0)
        if most == 0:
            return no_evaluations(signals)
        needed = _needed(signals, most)
        if most < needed:
            return Skip("few_evaluations", {"evaluations": most, "needed": needed})
        longest = signals.evaluations[_longest(signals)]
        if signals.train_rows and all(point.train_loss is None for point in longest):
            return Skip("no_train_beside")
        return None


def _is_nothing(losses: Sequence[float], first: float) -> bool:
    """Return whether the last two evaluations are still next to nothing."""
    return 0.0 <= max(losses[-2:]) < min(NEXT_TO_NOTHING, STILL_LEARNED * first)


def _longest(signals: Signals) -> str:
    return max(signals.evaluations, key=lambda series: len(signals.evaluations[series]))


def _needed(signals: Signals, done: int) -> int:
    """Return how many evaluations a judgement takes, given how many the run will make."""
    if not signals.progress:
        return MIN_EVALUATIONS + 1
    planned = round(done / signals.progress)
    return MIN_EVALUATIONS + (planned > SHORT_PLAN) + (planned > MEDIUM_PLAN)


def _severity(
    signals: Signals,
    points: Sequence[Evaluation],
    losses: Sequence[float],
    rise: Rise,
    learned: Fall,
) -> Severity | None:
    """Return what a rise is, or None, from six evaluations on; ``learned`` as above."""
    if not learned.share or rise.recent < STANDS * rise.highest:
        return None
    clear = learned.sure and learned.share >= CLEAR_FALL
    size, noise = abs(rise.level), NOISE_FACTOR * rise.noise
    bar = max(noise, MIN_RISE * size)
    if collapsed(signals, learned):
        # Steps up at the epochs' edges look like noise; no noise takes the train loss down.
        bar = min(bar, FEW_RISE * size)
    if (
        stands_out(losses, rise.noise)
        or rise.lasting > bar
        or (clear and (rise.recent > bar or _steady(signals, points, losses, rise)))
    ):
        wasting = wasted(signals, losses, rise, learned, bar, clear=clear)
        return Severity.ERROR if wasting else Severity.WARNING
    if learned.sure and learned.share >= COLLAPSE and rise.lasting > GREAT_RISE * size:
        return Severity.WARNING
    since = points[-1].number - points[rise.index].number
    if rise.lasting <= min(1.0, PERSISTENT / max(1, since)) * MIN_RISE * size:
        return None
    # So many evaluations weighed together show what is within the noise of each.
    together = since >= PERSISTENT and _beyond_its_noise(floor_since(losses, rise), rise)
    if together and clear and rise.lasting > FEW_RISE * size:
        return Severity.WARNING
    return Severity.INFO if rise.lasting > noise or together else None


def _beyond_its_noise(floor: Sequence[float], rise: Rise) -> bool:
    return steadiness(floor) > STEADY_FACTOR * rise.noise


def _steady(
    signals: Signals, points: Sequence[Evaluation], losses: Sequence[float], rise: Rise
) -> bool:
    """Return whether a smaller rise is steady and will be MIN_RISE before the plan is over."""
    size, since = abs(rise.level), len(losses) - 1 - rise.index
    if since < STEADY_EVALUATIONS or rise.recent <= STEADY_RISE * size or not signals.max_steps:
        return False
    floor = floor_since(losses, rise)
    if not _beyond_its_noise(floor, rise):
        return False
    middle = since // 2
    steps = points[-1].step - points[rise.index + middle].step
    left = max(0, signals.max_steps - points[-1].step)
    # The slope of the later half: a single step up at an epoch's edge is no slope.
    still = (floor[-1] - floor[middle - 1]) * left / max(1, steps) * STILL_TO_COME
    return rise.recent + still > MIN_RISE * size


def _evidence(signals: Signals, points: Sequence[Evaluation], rise: Rise) -> dict[str, Scalar]:
    best, last = points[rise.index], points[-1]
    return {
        "eval_loss_first": points[0].loss,
        "eval_loss_min": best.loss,
        "eval_loss_min_step": best.step,
        "eval_loss_min_epoch": best.epoch,
        "eval_loss_last": last.loss,
        "evaluations": last.number,
        "evaluations_since_min": last.number - best.number,
        "rise": rise.recent,
        "rise_share": share_of(best.loss, last.loss),
        "noise": rise.noise,
        "train_loss_at_min": best.train_loss,
        "train_loss_last": last.train_loss,
        "epoch": last.epoch,
        "decay_left": decay_left(signals),
    }
