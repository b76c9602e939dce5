"""What the little that a flat loss moves says of its learning rate.

Steps that are too small move the weights along one slope: the loss falls evenly, in each step by as
much as the rate. So its pace says which rate would have been seen to work, and where the rate
changes over the run, the pace has to change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from sftdiag.detectors.train_loss_flat import MIN_BLOCKS_SIGNED, STUCK, fall_of
from sftdiag.guide.base import Case, Evidence, FixText, Weight
from sftdiag.ranges import USUAL_LEARNING_RATE, learning_rate_ranges, speak_of
from sftdiag.signals import AUTOCORRELATION, Block, cautious_noise
from sftdiag.values import Value

VISIBLE_FALL = 0.1
"""Fall as a share of the loss that anyone sees on a curve."""

VISIBLE_STEPS = 100
"""Steps within which the guide's smoke test asks for a clear fall."""

BETWEEN_THIRDS = 2 / 3
"""Share of the steps between the middles of the first and the last third: a fall is taken there."""

TELLS_APART = 9.0
"""Squared errors, in units of the noise's variance, by which one line must fit better than another:
three standard deviations, odds of 90 to 1 for normal noise."""


class Pace(Value):
    """How fast a flat loss surely falls.

    ``steps`` optimizer steps took it down by ``fall``, in the loss's unit; at this pace a visible
    fall takes ``needed`` steps.
    """

    fall: float
    steps: float
    needed: float


def pace(case: Case) -> Pace | None:
    """Return the pace of the loss so far, or None where it may not have moved at all."""
    blocks = _blocks(case)
    if case.detection.variant == STUCK or len(blocks) < MIN_BLOCKS_SIGNED:
        return None
    seen = fall_of([block.loss for block in blocks])
    if seen.lower <= 0.0:
        return None
    steps = BETWEEN_THIRDS * (blocks[-1].last_step - blocks[0].first_step)
    return Pace(seen.fall, steps, steps * VISIBLE_FALL * seen.level / seen.fall)


def _blocks(case: Case) -> list[Block]:
    return [b for b in case.signals.blocks if b.first_step >= case.detection.onset_step]


def movement(case: Case) -> Evidence | None:
    """A loss that surely falls, but far too slowly, is trained with steps that are too small."""
    if (fell := fell_first(case)) is not None:
        return fell
    seen = pace(case)
    if seen is None:
        return None
    values = {"fall": seen.fall, "steps": round(seen.steps), "needed": seen.needed}
    return Evidence(Weight.SUPPORTS, "moves", values)


def fell_first(case: Case) -> Evidence | None:
    """A loss that stuck after a fall was moved by this rate and these weights."""
    if case.detection.variant != STUCK:
        return None
    values = {"first": case.number("loss_first"), "level": case.number("loss_level")}
    return Evidence(Weight.AGAINST, "fell_first", values)


def slope_follows_rate(case: Case) -> Evidence | None:
    """The loss against the sum of the rates so far, and against the steps so far.

    The better fit, by more than the noise, says whether the rate sets the pace. It does not say
    where the rate hardly changed, nor where the loss moves by no more than its noise.
    """
    blocks = _blocks(case)
    if case.detection.variant == STUCK or len(blocks) < MIN_BLOCKS_SIGNED:
        return None
    travelled = _travelled(blocks)
    losses = [block.loss for block in blocks]
    noise = cautious_noise(losses) * AUTOCORRELATION
    if travelled is None or noise <= 0.0 or not isfinite(noise):
        return None
    by_rate = _fit(travelled, losses)
    by_step = _fit([(block.first_step + block.last_step) / 2 for block in blocks], losses)
    if by_rate is None or by_step is None:
        return None
    better, gain = by_rate, (by_step.error - by_rate.error) / noise**2
    if gain < 0.0:
        better, gain = by_step, -gain
    moved = (better.total - better.error) / noise**2
    if gain < TELLS_APART or moved < TELLS_APART or better.slope >= 0.0:
        return None
    values = {"by_rate": by_rate.explained, "by_step": by_step.explained}
    if better is by_rate:
        return Evidence(Weight.SUPPORTS, "slope_follows", values)
    return Evidence(Weight.AGAINST, "slope_apart", values)


class _Line(Value):
    """A least-squares line: its slope, its squared errors, and those of a constant."""

    slope: float
    error: float
    total: float

    @property
    def explained(self) -> float:
        return 1.0 - self.error / self.total


def _fit(x: Sequence[float], y: Sequence[float]) -> _Line | None:
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - middle_x) ** 2 for a in x)
    total = sum((b - middle_y) ** 2 for b in y)
    if spread <= 0.0 or total <= 0.0:
        return None
    product = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return _Line(product / spread, total - product**2 / spread, total)


def _travelled(blocks: Sequence[Block]) -> list[float] | None:
    """Return the sum of the rates up to the middle of each block; None where one is unknown."""
    way, before, travelled = 0.0, blocks[0].first_step - 1, []
    for block in blocks:
        if block.learning_rate is None:
            return None
        step = block.learning_rate * (block.last_step - before)
        travelled.append(way + step / 2)
        way, before = way + step, block.last_step
    return travelled


def raise_learning_rate(case: Case) -> FixText:
    """From the run's rate to the one that its pace implies; without a pace to the usual one."""
    old = case.context.learning_rate or case.number("peak_learning_rate")
    ranges = learning_rate_ranges(case.context.method)
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    if not speak_of(case.context.total_parameters):
        high = inf
    seen = pace(case)
    if seen is None or not old:
        new, key = USUAL_LEARNING_RATE[case.context.method or "full"], "raise_rate"
        implied = None
    else:
        implied = old * seen.needed / VISIBLE_STEPS
        new = max(low, min(implied, high))
        key = "raise_rate_by_pace" if implied <= high else "raise_rate_to_highest"
    if old is None or old >= new:
        return FixText("raise_rate_generally")
    values = {"old": old, "new": new, "implied": implied, "steps": VISIBLE_STEPS}
    return FixText(key, values, {"SFTConfig.learning_rate": (old, float(f"{new:.2g}"))})
