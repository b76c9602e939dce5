"""The training loss fell, then rose while the learning rate climbed to its peak, and stayed up."""

from __future__ import annotations

from sftdiag.signals import MOVED_ACCURACY, WINDOW_STEPS, Climb, Signals

MIN_RISE = 0.08
"""Rise of a whole period's low end as a share of the lowest window: healthy logs bump by up to 5 %
at the rate's peak, and their low ends by less."""

NOISE_FACTOR = 6.0
"""Rise in units of a window mean's noise, for the reason of SFT102's."""

RATE_GAIN = 1.25
"""The peak over the rate at the lowest window: a warm-up that was still under way. Where the loss
only turned at the peak, other data explains the rise as well."""

LOW_END = 5
"""The lowest fifth of a period: length grouping's short rows, which are low in every period."""


class RiseWithRate:
    """Looks when a block closes, until the rate has left its peak well behind.

    Warm-ups end before half of any run; what rises later is SFT102's. Needs logged rates. Stays
    silent while the evaluation loss, where there is one on both sides, has not risen too.
    """

    def look(self, signals: Signals) -> Climb | None:
        """Return the climb when there is one."""
        peak, step = signals.peak_learning_rate, signals.peak_learning_rate_step
        if not signals.block_closed or peak is None or signals.last_step > 4 * step + WINDOW_STEPS:
            return None
        climb = signals.climb(0, MIN_RISE)
        if climb is None or climb.rise <= NOISE_FACTOR * climb.noise:
            return None
        if climb.accuracy_gain is not None and climb.accuracy_gain > MOVED_ACCURACY:
            return None
        rate = next(
            (b.learning_rate for b in signals.blocks if b.last_step >= climb.lowest_step), None
        )
        if climb.lowest_step >= step or rate is None or rate * RATE_GAIN > peak:
            return None
        if not _stays_up(signals, climb) or not _evaluations_agree(signals, climb):
            return None
        return climb


def _stays_up(signals: Signals, climb: Climb) -> bool:
    """Return whether the low end of a whole period since the lowest window is up, too."""
    since = signals.last_step - WINDOW_STEPS
    if since < climb.lowest_step:
        return False
    period = sorted(block.loss for block in signals.blocks if block.last_step > since)
    low_end = period[: max(1, len(period) // LOW_END)]
    return sum(low_end) / len(low_end) > (1.0 + MIN_RISE) * climb.lowest


def _evaluations_agree(signals: Signals, climb: Climb) -> bool:
    points = signals.evaluations.get(signals.main_series or "", [])
    before = [point.loss for point in points if point.step <= climb.lowest_step] or [
        point.loss for point in points[:1]
    ]
    return len(points) < 2 or points[-1].loss > min(before)
