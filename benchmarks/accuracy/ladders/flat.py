"""Nothing learned: flat at a usual level or at a blind guess, no rate, no steps, frozen."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.curves import Draw
from benchmarks.accuracy.ladders.rungs import Bed, Ladder, Sick
from sftdiag.context import RunContext


def _flat(draw: Draw, bed: Bed, size: float) -> Sick:
    """Rest at a usual level, which alone says nothing; the fall is spread over the run."""
    return Sick(bed.log(draw, bed.level[0] * (1 - size * bed.shape.share)))


def _rate_zero(draw: Draw, bed: Bed, size: float) -> Sick:
    """A rate of exactly 0 in every row after the first; in the first, too, in half of them."""
    first = bed.shape.every if draw.random() < 0.5 else 0
    rate = np.where(np.arange(len(bed.rate)) < first, bed.rate, 0.0)
    made = bed._replace(rate=rate)
    return Sick(made.log(draw, np.full(len(rate), bed.level[0])))


def _schedule_over(draw: Draw, bed: Bed, size: float) -> Sick:
    """A schedule that was made for a shorter run: it has reached 0 at this share of the plan."""
    before = np.clip(bed.shape.share / size, 0.0, 1.0)
    rate = bed.rate[0] * np.where(before < 1, 1 - before, 0.0)
    at = np.minimum((before * (len(before) - 1)).astype(int), len(before) - 1)
    onset = int(bed.row[np.argmax(rate == 0)])
    return Sick(bed._replace(rate=rate).log(draw, bed.level[at]), onset)


def _blind_guess(draw: Draw, bed: Bed, size: float) -> Sick:
    """Weights that were not loaded or are not trained: at ln V, off by ``size`` at most."""
    off = draw.choice([-1.0, 1.0]) * size
    return Sick(bed.log(draw, np.full(len(bed.level), bed.chance * (1 + off))))


def _frozen(draw: Draw, bed: Bed, size: float) -> Sick:
    """Gradient norms of exactly 0 in a full fine-tuning."""
    log_ = bed.log(draw, np.full(len(bed.level), bed.level[0]))
    return Sick(log_._replace(grad_norm=np.zeros(bed.shape.rows)))


def _skipped(draw: Draw, bed: Bed, size: float) -> Sick:
    """Every gradient NaN, every step skipped; the loss is finite and stays."""
    log_ = bed.log(draw, np.full(len(bed.level), bed.level[0]))
    context = RunContext(precision="fp16" if draw.random() < 0.5 else None)
    return Sick(log_._replace(grad_norm=np.full(bed.shape.rows, np.nan)), 1, context)


FALLS = (0.04, 0.02, 0.01, 0.005, 0.0)
"""Labellers call a run sick whose thirds are less than 1.4 % apart: a steady fall of 2.1 %."""

LADDERS = {
    "flat": Ladder("flat_loss", "fall over the run", FALLS, _flat, optional=frozenset({0.04})),
    "flat, little noise": Ladder(
        "flat_loss",
        "fall over the run",
        FALLS,
        _flat,
        quiet=0.03,
        optional=frozenset({0.04}),
    ),
    "flat, evaluated": Ladder(
        "flat_loss",
        "fall over the run",
        (0.01, 0.003, 0.001, 0.0),
        _flat,
        evaluations=lambda rows: min(rows, 10),
        quiet=2.0,
        optional=frozenset({0.01}),
    ),
    "rate zero": Ladder("lr_zero", "", (1.0,), _rate_zero),
    "schedule over": Ladder(
        "schedule_over",
        "share of the plan",
        (0.8, 0.5, 0.2),
        _schedule_over,
        rows=(10, 20, 50, 200),
    ),
    "blind guess": Ladder(
        "flat_loss", "share off ln V", (0.004, 0.002, 0.0), _blind_guess, quiet=0.05
    ),
    "frozen": Ladder("frozen", "", (1.0,), _frozen),
    "steps skipped": Ladder("skipped", "", (1.0,), _skipped),
}
