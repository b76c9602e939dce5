"""When a rise of the evaluation loss is an error of SFT201: nothing to come can take it back."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._eval_rise import Fall, Rise
from sftdiag.signals import Signals

ERROR_RISE = 0.05
"""Rise as a share of the best from which the run is being wasted; with ERROR_EVALUATIONS. Of 26
public and injected runs and 43 OverfitGuard histories that rose so far while the train loss fell
none came back to its best, whatever its learning rate did; plain healthy runs end up to 3.4 % above
theirs."""

DECAY_WINS = 0.10
"""Rise that a whole decay could still win back: in the half of the schedule below half of the peak,
42 of 46 healthy runs lose at most 9 % of their eval loss. In proportion to the rate that is left
and to the train loss since the best: what a decay takes away is the noise of the gradients, which
goes with both. The most that any of those 69 won back was 29 % of its rise."""

ERROR_EVALUATIONS = 4
"""Evaluations in a row above the band before an error."""

ERROR_NOISE_FACTOR = 10.0
"""Rise in noise units for an error: twice NOISE_FACTOR, since a stop cannot be taken back. The
fall of the train loss must be sure, too: 2 of 14,010 generated healthy runs have one, none both.
"""


def wasted(
    signals: Signals, losses: Sequence[float], rise: Rise, learned: Fall, bar: float
) -> bool:
    """Return whether the rise has lasted and is beyond noise and what a decay could win back.

    Args:
        signals: the run's state.
        losses: the series' losses so far.
        rise: its rise.
        learned: the fall of the train loss since the best.
        bar: the rise that counts as one, in the loss's unit.
    """
    if not learned.sure or min(losses[-ERROR_EVALUATIONS:]) - rise.level <= bar:
        return False
    share = max(ERROR_RISE, DECAY_WINS * decay_left(signals) * (1 - learned.share))
    return rise.recent >= max(share * abs(rise.level), ERROR_NOISE_FACTOR * rise.noise)


def decay_left(signals: Signals) -> float:
    """Return the learning rate that a scheduled decay may still take, as a share of its peak."""
    rate, peak = signals.learning_rate, signals.peak_learning_rate
    if rate is None or not peak:
        return 0.0
    scheduler = signals.context.lr_scheduler_type
    if scheduler is not None and scheduler.startswith("constant"):
        return 0.0
    if scheduler is None and rate == peak:
        return 0.0
    return rate / peak
