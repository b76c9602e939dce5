"""Overfitting over few and many evaluations with little and much noise, and memorisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.accuracy.curves import Draw
from benchmarks.accuracy.ladders.rungs import ROWS, Bed, Ladder, Sick
from benchmarks.accuracy.windows import log_of

BETWEEN = 4
"""Train rows between two evaluations."""

COUNTS = tuple(BETWEEN * count for count in (5, 10, 20))
"""Rows of a run with 5, 10 and 20 evaluations."""


def _overfitting(noise: float, turn: float) -> Callable[[Draw, Bed, float], Sick]:
    """The evaluation is best at ``turn`` of the run and rises to its end; train keeps falling."""

    def make(draw: Draw, bed: Bed, size: float) -> Sick:
        best = round(turn * bed.shape.evaluations) or 1
        at = best * BETWEEN * bed.shape.every - 1
        share = bed.shape.share
        after = np.clip((share - share[at]) / (1 - share[at]), 0.0, 1.0)
        evaluation = np.where(after > 0, bed.level[at] * (1 + size * after), bed.level)
        level = bed.level * (1 - 0.4 * after)
        log_ = log_of(draw, bed.shape, level, bed.rate, evaluation, noise)
        return Sick(log_, best * BETWEEN)

    return make


def _memorisation(draw: Draw, bed: Bed, size: float) -> Sick:
    """The train loss goes to about 0 over six epochs; nothing is there to check it."""
    return Sick(bed.log(draw, bed.level[0] * np.power(size / bed.level[0], bed.shape.share)))


def _memorisation_evaluated(draw: Draw, bed: Bed, size: float) -> Sick:
    """The same beside an evaluation that rests."""
    course = bed.level[0] * np.power(size / bed.level[0], bed.shape.share)
    rest = bed.level[0] * (0.8 + 0.2 * np.exp(-bed.shape.share * 20))
    return Sick(bed.log(draw, course, rest))


RISES = (0.02, 0.03, 0.05, 0.1, 0.3)


def _rise(noise: float, turn: float) -> Ladder:
    return Ladder(
        "overfitting",
        "rise of eval_loss",
        RISES,
        _overfitting(noise, turn),
        rows=COUNTS,
        evaluations=lambda rows: rows // BETWEEN,
        epochs=4.0,
        optional=frozenset({0.02}),
    )


LADDERS = {
    "overfitting, noise 0.01 %": _rise(1e-4, 0.4),
    "overfitting, noise 0.5 %": _rise(5e-3, 0.4),
    "overfitting from the first": _rise(1e-3, 0.0),
    "memorisation": Ladder(
        "memorisation", "final loss", (0.08, 0.03, 0.005), _memorisation, rows=ROWS[1:], epochs=6.0
    ),
    "memorisation, evaluated": Ladder(
        "memorisation",
        "final loss",
        (0.08, 0.03, 0.005),
        _memorisation_evaluated,
        rows=ROWS[1:],
        evaluations=lambda rows: min(rows, 6),
        epochs=6.0,
    ),
}
