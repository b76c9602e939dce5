"""Levels that cannot be: above chance, a multiple, resting high, too low, negative."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.curves import Draw
from benchmarks.accuracy.ladders.rungs import Bed, Ladder, Sick
from benchmarks.accuracy.windows import with_predictions
from sftdiag.context import RunContext


def _above_chance(draw: Draw, bed: Bed, size: float) -> Sick:
    """Rest at so many times ln V after a small fall."""
    fall = 1 + 0.1 * np.exp(-bed.shape.share * 20)
    return Sick(bed.log(draw, bed.chance * size * fall))


def _summed(draw: Draw, bed: Bed, size: float) -> Sick:
    """The train loss is the sum over so many accumulation steps, the evaluation is a mean."""
    steps = int(size) if draw.random() < 0.5 else None
    context = RunContext(gradient_accumulation_steps=steps)
    # Shown by the first evaluation, or by a sum that no mean can be.
    return Sick(bed.log(draw, bed.level * size, bed.level), 1, context)


def _rests_high(draw: Draw, bed: Bed, size: float) -> Sick:
    """A pretrained model that comes down from 1.5 times as high and rests far above any text."""
    course = size * (1 + 0.5 * np.exp(-bed.shape.share * draw.uniform(15, 40)))
    log_ = with_predictions(draw, bed.log(draw, course))
    return Sick(log_, max(1, bed.shape.rows // 5))


def _too_low(draw: Draw, bed: Bed, size: float) -> Sick:
    """From a usual level to about 0 within a tenth of the first epoch; so is the evaluation."""
    course = size + (bed.level[0] - size) * np.exp(-bed.shape.share * 50)
    return Sick(bed.log(draw, course, course), max(1, bed.shape.rows // 10))


def _negative(draw: Draw, bed: Bed, size: float) -> Sick:
    """A plain cross entropy that falls through 0, to so far below it."""
    start = bed.level[0]
    course = start - (start + size) * np.sqrt(bed.shape.share)
    onset = int(bed.row[np.argmax(course < 0)])
    return Sick(bed.log(draw, course), onset)


def _few(rows: int) -> int:
    return min(rows, 5)


LADDERS = {
    "above chance": Ladder("bad_labels", "times ln V", (1.05, 1.25, 2.0, 10.0), _above_chance),
    "summed": Ladder("summed", "steps", (2.0, 4.0, 8.0, 32.0), _summed, evaluations=_few),
    "rests high": Ladder(
        "bad_labels", "level", (5.0, 6.0, 7.0, 8.0), _rests_high, optional=frozenset({5.0})
    ),
    "too low": Ladder(
        "too_low",
        "evaluation loss",
        (0.05, 0.01, 0.001),
        _too_low,
        evaluations=_few,
        optional=frozenset({0.05}),
    ),
    "negative": Ladder("negative", "below 0", (0.05, 0.5, 5.0), _negative),
}
