"""The loss fell, then rose while the learning rate climbed to its peak, and stayed up."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sftdiag.context import RANDOM
from sftdiag.detectors.train_loss_rebound import NOISE_FACTOR, learns
from sftdiag.findings import Scalar
from sftdiag.signals.blocks import Closing
from sftdiag.signals.climb import (
    ABOVE_START,
    WINDOW_BLOCKS,
    WINDOW_STEPS,
    Climb,
    climb_of,
    may_climb,
    window_size,
)
from sftdiag.signals.noise import mean, noise_of, second_differences
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

MIN_RISE = 0.08
"""Rise of a whole period's low end, or of evaluations, as a share of the lowest: healthy logs bump
by up to 5 % at the rate's peak, and their low ends by less."""

RATE_GAIN = 1.25
"""The peak over the rate at the lowest window: a warm-up that was still under way. Where the loss
only turned at the peak, other data explains the rise as well."""

LOW_END = 5
"""The lowest fifth of a period: length grouping's short rows, which are low in every period."""

MIN_EVALUATIONS = 6
"""Evaluations from which their noise is known: four second differences."""

LAST_EVALUATIONS = 3
"""The last ones, all of which must be up."""

TOGETHER = 0.5
"""Rise of the train loss over that of the evaluation loss: one cause moves both alike, and batches
too noisy to show it by themselves get both halves of the doubt."""

MOST_OF_PLAN = 0.5
"""Share of the planned steps over which a train loss that stays up after a leap is an error, too;
a first row that was low by chance is no leap."""

UP_EVALUATIONS = 2
"""Evaluations since a leap that make an error where they are up, the train loss is, and the rate
climbs no more."""

FIRST_EPOCH = 1.0
"""Up to here no row was seen twice, so an evaluation loss that rises is not SFT201's."""


class Rise(Value):
    """A rise: what it rose from and at which step, what to, in which series.

    ``lost_since``: the step at which a window begins that is above where the run began, too, and
    that no order of the rows explains; None where none is. ``evaluated``: the lowest evaluation
    before that.
    """

    series: str
    first: float
    lowest: float
    step: int
    recent: float
    lost_since: int | None = None
    evaluated: float = -inf

    @property
    def numbers(self) -> dict[str, Scalar]:
        """The detection's evidence."""
        return {"loss_first": self.first, "loss_lowest": self.lowest, "loss_jump": self.recent}


def of_train_loss(signals: Signals) -> Rise | None:
    """Look when a block closes, until the rate has left its peak well behind.

    Warm-ups end before half of any run; what rises later is SFT102's. Needs logged rates. Stays
    silent while the evaluation loss, where there is one, has not risen too.
    """
    if not signals.block_closed or not _near_the_peak(signals):
        return None
    climb = climb_of(signals, 0, MIN_RISE)
    if climb is None or learns(climb.lowest, climb.recent, climb.accuracy_gain):
        return None
    if climb.rise <= NOISE_FACTOR * climb.noise:
        return None
    blocks = (b.learning_rate for b in signals.blocks if b.last_step >= climb.lowest_step)
    if not _climbed_since(signals, next(blocks, None), climb.lowest_step):
        return None
    lost_since = _loses_all(signals, climb)
    stays_up = lost_since is not None or _stays_up(signals, climb)
    if not stays_up or not _evaluations_agree(signals, climb):
        return None
    found = Rise("loss", climb.start, climb.lowest, climb.lowest_step, climb.recent)
    if lost_since is None:
        return found
    before = [point.loss for point in signals.main_evaluations if point.step < lost_since]
    return found.replace(lost_since=lost_since, evaluated=min(before, default=-inf))


def may_rise(signals: Signals, rows: Rows, closing: Closing) -> bool:
    """Return whether :func:`of_train_loss` may see a rise at a block that these rows close."""
    step, rates = signals.peak_learning_rate_step, rows.get("learning_rate")
    if rates is not None:
        highest = max(rates)
        if signals.peak_learning_rate is None or highest > signals.peak_learning_rate:
            step = rows.steps[rates.index(highest)]
    elif signals.peak_learning_rate is None:
        return False
    lasts = closing.columns.last_steps
    # The lowest window ends before the peak, or the rate did not go on climbing.
    if len(lasts) < WINDOW_BLOCKS or step <= lasts[WINDOW_BLOCKS - 1]:
        return False
    return may_climb(closing, 0, MIN_RISE, until=4 * step + WINDOW_STEPS)


def of_evaluations(signals: Signals) -> Rise | None:
    """Look at an evaluation in the first epoch: its noise is small where the batches' is not."""
    series, points = signals.main_series, signals.main_evaluations
    if series is None or len(points) < MIN_EVALUATIONS or points[-1].step != signals.last_step:
        return None
    epoch = points[-1].epoch
    if epoch is None or epoch > FIRST_EPOCH or not _near_the_peak(signals):
        return None
    losses = [point.loss for point in points]
    best = points[losses.index(min(losses))]
    bar = max(NOISE_FACTOR * noise_of(second_differences(losses)), MIN_RISE * abs(best.loss))
    recent = min(losses[-LAST_EVALUATIONS:])
    if recent - best.loss <= bar or not _climbed_since(signals, best.learning_rate, best.step):
        return None
    # Where the train loss does not rise with it, the evaluation rows are of another kind.
    trained = mean(point.train_loss for point in points[-LAST_EVALUATIONS:])
    if best.train_loss is None or trained is None:
        return None
    if trained - best.train_loss < TOGETHER * (recent - best.loss):
        return None
    return Rise(series, losses[0], best.loss, best.step, recent)


def up_since(signals: Signals, step: int, level: float, evaluated: float) -> bool:
    """Return whether evaluations, or most of the plan, say that the loss is up since a leap.

    Args:
        signals: the run so far.
        step: the step of the leap, or at which the loss was seen above the start.
        level: what counts as up.
        evaluated: what evaluations must be above, too.
    """
    rows = [block.loss for block in signals.blocks if block.last_step > step]
    if signals.learning_rate_rises or min(rows, default=0.0) <= level:
        return False
    if signals.max_steps and signals.last_step - step >= MOST_OF_PLAN * signals.max_steps:
        return True
    points = [point.loss for point in signals.main_evaluations if point.step >= step]
    return len(points) >= UP_EVALUATIONS and min(points) > max(level, evaluated)


def evaluations_fall(signals: Signals, first_step: int) -> bool:
    """Return whether evaluations fell since the first row, which then was low by chance."""
    points = signals.main_evaluations
    before = [point.loss for point in points if point.step <= first_step]
    return bool(before) and points[-1].loss < before[-1]


def last_period(signals: Signals) -> list[float]:
    """Return the block losses of the last period of length grouping."""
    blocks = signals.blocks
    # Counted from the last train row: an evaluation's step may be far ahead of it.
    since = blocks[-1].last_step - WINDOW_STEPS if blocks else 0
    return [block.loss for block in blocks if block.last_step > since]


def low_end(losses: Sequence[float]) -> float:
    """Return the mean of the lowest fifth of some losses."""
    lowest = sorted(losses)[: max(1, len(losses) // LOW_END)]
    return sum(lowest) / len(lowest)


def _loses_all(signals: Signals, climb: Climb) -> int | None:
    """Return where the last window begins, if it is above the first, of rows taken at random.

    They have no saw-tooth and no block of another kind, so that no period need be waited for.
    """
    context = signals.context
    # A stream has no sampler, whatever the argument says.
    at_random = context.sampler == RANDOM and context.train_samples is not None
    size = window_size(signals)
    if not at_random or size is None or climb.recent <= ABOVE_START * climb.start:
        return None
    return signals.blocks[-size].first_step


def _stays_up(signals: Signals, climb: Climb) -> bool:
    if signals.last_step - WINDOW_STEPS < climb.lowest_step:
        return False
    return low_end(last_period(signals)) > (1.0 + MIN_RISE) * climb.lowest


def _near_the_peak(signals: Signals) -> bool:
    step = signals.peak_learning_rate_step
    return signals.peak_learning_rate is not None and signals.last_step <= 4 * step + WINDOW_STEPS


def _climbed_since(signals: Signals, rate: float | None, step: int) -> bool:
    """Return whether the rate went on climbing to its peak after a step at which it was so high."""
    peak = signals.peak_learning_rate
    if rate is None or peak is None or step >= signals.peak_learning_rate_step:
        return False
    return rate * RATE_GAIN <= peak


def _evaluations_agree(signals: Signals, climb: Climb) -> bool:
    points = signals.main_evaluations
    before = [point.loss for point in points if point.step <= climb.lowest_step] or [
        point.loss for point in points[:1]
    ]
    return len(points) < 2 or points[-1].loss > min(before)
