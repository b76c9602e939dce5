"""What the little that a flat loss moves says of its learning rate.

Steps that are too small move the weights along one slope: the loss falls evenly, in each step by as
much as the rate. So its pace says which rate would have been seen to work, and where the rate
changes over the run, the pace has to change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from sftdiag.context import SGD
from sftdiag.detectors.train_loss_flat import STUCK
from sftdiag.guide.base import Case, Evidence, FixText, Weight
from sftdiag.guide.from_checks import new_tokens_untrained
from sftdiag.guide.learning_rate import rate_in_use
from sftdiag.ranges import (
    SGD_LEARNING_RATE,
    USUAL_LEARNING_RATE,
    learning_rate_ranges,
    speak_of,
)
from sftdiag.signals.blocks import Block
from sftdiag.signals.noise import AUTOCORRELATION, cautious_noise
from sftdiag.signals.trend import BETWEEN_THIRDS, LEAST_VALUES, fall_of
from sftdiag.values import Value

VISIBLE_FALL = 0.1
"""Fall as a share of the loss that anyone sees on a curve."""

VISIBLE_STEPS = 100
"""Steps within which the guide's smoke test asks for a clear fall."""

NEXT_RATE = 3.0
"""Factor to the next higher rate to try: half a decade, as the search goes outwards."""

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
    if case.detection.variant == STUCK or len(blocks) < LEAST_VALUES:
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


def fell_by_all_weights(case: Case) -> Evidence | None:
    """The same of frozen weights; beside random embeddings the others fell as far as they could."""
    return fell_first(case) if new_tokens_untrained(case) is None else None


def slope_follows_rate(case: Case) -> Evidence | None:
    """The loss against the sum of the rates so far, and against the steps so far.

    The better fit, by more than the noise, says whether the rate sets the pace. It does not say
    where the rate hardly changed, nor where the loss moves by no more than its noise.
    """
    blocks = _blocks(case)
    if case.detection.variant == STUCK or len(blocks) < LEAST_VALUES:
        return None
    middles, travelled = _ways(blocks)
    losses = [block.loss for block in blocks]
    noise = cautious_noise(losses) * AUTOCORRELATION
    if not travelled or noise <= 0.0 or not isfinite(noise):
        return None
    by_rate = _fit(travelled, losses)
    by_step = _fit(middles, losses)
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


def _ways(blocks: Sequence[Block]) -> tuple[list[float], list[float]]:
    """Return the middle of each block in steps, and the sum of the rates up to there.

    The latter is empty where a rate is unknown.
    """
    # A row stands for the steps since the row before, which the first block does not show.
    before = 2 * blocks[0].last_step - blocks[1].last_step
    way, middles, travelled = 0.0, [], []
    for block in blocks:
        steps, before = block.last_step - before, block.last_step
        middles.append(before - steps / 2)
        if block.learning_rate is not None:
            travelled.append(way + block.learning_rate * steps / 2)
            way += block.learning_rate * steps
    return middles, travelled if len(travelled) == len(middles) else []


def raise_learning_rate(case: Case) -> FixText:
    """From the run's rate to the usual one, or to the higher one that its pace asks for.

    A rate at which the loss is just seen to move may still be far too low to train at.
    """
    old = rate_in_use(case) or case.number("peak_learning_rate")
    method = case.context.method
    usual, high = USUAL_LEARNING_RATE[method or "full"], inf
    if case.context.optim == SGD and old is not None and old < SGD_LEARNING_RATE:
        of_sgd = {"old": old, "new": SGD_LEARNING_RATE, "usual": usual}
        changes = {"SFTConfig.learning_rate": (old, SGD_LEARNING_RATE)}
        return FixText("raise_rate_of_sgd", of_sgd, changes)
    if speak_of(case.context.total_parameters):
        high = max(r.high for r in learning_rate_ranges(method))
    seen, slope = pace(case), slope_follows_rate(case)
    if seen is None or not old or (slope is not None and slope.weight is Weight.AGAINST):
        new, key, steps = usual, "raise_rate", None
    else:
        asked = old * seen.needed / VISIBLE_STEPS
        new = float(f"{min(max(asked, usual), high):.2g}")
        key = "raise_rate_by_pace" if asked <= high else "raise_rate_to_highest"
        steps = seen.needed * old / new
    if old is None:
        return FixText("raise_rate_generally")
    if old >= new:
        # A rate as high as the usual one may still be too low here: only a trial of it tells.
        higher = {"old": old, "usual": usual, "new": NEXT_RATE * old, "steps": VISIBLE_STEPS}
        return FixText("try_higher_rate", higher)
    values = {"old": old, "new": new, "steps": steps}
    return FixText(key, values, {"SFTConfig.learning_rate": (old, new)})
