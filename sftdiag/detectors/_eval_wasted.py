"""When a rise of the evaluation loss is an error of SFT201: nothing to come can take it back."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._eval_rise import Fall, Rise, floor_since, steadiness
from sftdiag.signals.stream import Signals

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
"""Evaluations in a row above the band before an error; one less where the train loss has clearly
fallen, as for a warning. With 3 alone, 1 of 10,000 generated healthy runs has an error."""

ERROR_NOISE_FACTOR = 10.0
"""Rise in noise units for an error, or the weight of all evaluations since the best: twice
NOISE_FACTOR, since a stop cannot be taken back. In proportion to the train loss that is left since
the best: a noisy evaluation set does not make the train loss collapse, rows learned by heart do.
The fall of the train loss must be sure, too: 2 of 14,010 generated healthy runs have the rise, none
both, and none of 10,000 has an error."""

COLLAPSE = 0.4
"""Fall of the train loss since the best, as a share, with which a rise beyond the bar is an error
at once: rows are learned by heart, and no decay unlearns them. Of 68 labelled runs whose train loss
fell so far while three evaluations stayed 1 % above their best none came back to it."""

WORTH_STOPPING = 0.5
"""Share of the plan done up to which that is so: healthy fine-tunes of four epochs end with a fall
of 0.5 to 0.6, 2.6 to 3.4 % above their best, with nothing left to save by then."""


def wasted(
    signals: Signals,
    losses: Sequence[float],
    rise: Rise,
    learned: Fall,
    bar: float,
    *,
    clear: bool,
) -> bool:
    """Return whether the rise has lasted and is beyond noise and what a decay could win back.

    Args:
        signals: the run's state.
        losses: the series' losses so far.
        rise: its rise.
        learned: the fall of the train loss since the best.
        bar: the rise that counts as one, in the loss's unit.
        clear: the train loss has clearly fallen.
    """
    if not learned.sure:
        return False
    if rise.recent > bar and collapsed(signals, learned):
        return True
    needed = ERROR_EVALUATIONS - clear
    if min(losses[-needed:]) - rise.level <= bar:
        return False
    left = 1 - learned.share
    if rise.recent < max(ERROR_RISE, DECAY_WINS * decay_left(signals) * left) * abs(rise.level):
        return False
    evidence = max(rise.recent, steadiness(floor_since(losses, rise)))
    return evidence >= ERROR_NOISE_FACTOR * left * rise.noise


def collapsed(signals: Signals, learned: Fall) -> bool:
    """Return whether rows are learned by heart while enough of the plan is left to be saved."""
    early = 0 < (signals.progress or 0) <= WORTH_STOPPING
    return early and learned.sure and learned.share >= COLLAPSE


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
