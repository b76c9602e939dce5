"""More healthy runs: few rows, TRL's default logging, starts above chance, floors, from scratch.

Each learns, or rests at its floor and shows it: low loss, high accuracy, entropy near the loss.
They have seeds of their own: the runs of :mod:`benchmarks.accuracy.healthy` stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.curves import Draw, Log, log_uniform, rows
from benchmarks.accuracy.runs import Run
from benchmarks.accuracy.windows import (
    VOCABULARIES,
    Shape,
    chance,
    drawn_rate,
    learning,
    log_of,
    rounded,
    with_predictions,
)
from sftdiag.context import RunContext

STREAM = 1
"""Tells the random numbers of these kinds from those of the older ones."""


class Made(NamedTuple):
    """A run in the making: how it is written, its series, the model's vocabulary."""

    shape: Shape
    log: Log
    vocabulary: int | None = None


def _ordinary(draw: Draw, shape: Shape) -> Made:
    rate = drawn_rate(draw, shape)
    start = draw.uniform(0.7, 3.5)
    # A few dozen steps at a usual rate take a tenth off, thousands a half.
    kept = draw.uniform(0.3, 0.95)
    log_ = log_of(draw, shape, learning(draw, start, start * kept, rate), rate)
    if draw.random() < 0.5:
        log_ = with_predictions(draw, log_)
    return Made(shape, rounded(draw, log_))


def _few_rows(count: int) -> Callable[[Draw], Made]:
    def make(draw: Draw) -> Made:
        every = int(draw.choice([1, 1, 10, 50]))
        evaluations = int(draw.choice([0, 0, 2, count]))
        shape = Shape(count, every, log_uniform(draw, 0.01, 0.15), evaluations)
        return _ordinary(draw, shape)

    return make


def _logged_every(every: int) -> Callable[[Draw], Made]:
    def make(draw: Draw) -> Made:
        count = int(log_uniform(draw, 8, 300 if every < 50 else 120))
        evaluations = int(draw.choice([0, 4, 10, 20]))
        epochs = float(draw.choice([1.0, 1.0, 2.0, 3.0]))
        shape = Shape(count, every, log_uniform(draw, 0.02, 0.3), evaluations, epochs)
        return _ordinary(draw, shape)

    return make


def _padded_start(draw: Draw) -> Made:
    """Labels with padding or an unseen template: above chance at first, usual after some rows."""
    vocabulary = int(draw.choice(VOCABULARIES))
    every = int(draw.choice([1, 10]))
    count = int(log_uniform(draw, 20, 200))
    shape = Shape(count, every, log_uniform(draw, 0.02, 0.1), int(draw.choice([0, 5, 10])))
    rate = drawn_rate(draw, shape)
    rest = draw.uniform(0.8, 2.5)
    level = learning(draw, rest, rest * draw.uniform(0.4, 0.85), rate)
    # The padding is learned within a tenth of the run at most.
    first = chance(vocabulary) * draw.uniform(1.02, 1.4)
    span = max(2.0, len(level) * draw.uniform(0.02, 0.08))
    padding = (first - rest) * np.exp(-np.arange(len(level)) / span)
    log_ = log_of(draw, shape, level + padding, rate)
    if draw.random() < 0.5:
        # Of the labels only the text is known to the model at first; later the padding, too.
        log_ = with_predictions(draw, log_, shape.means(level + 0.4 * padding))
        text = draw.uniform(0.15, 0.35)
        known = text * np.exp(-0.42 * level) + (1 - text) * np.exp(-padding)
        log_ = log_._replace(accuracy=shape.means(known))
    return Made(shape, rounded(draw, log_), vocabulary if draw.random() < 0.5 else None)


def _from_scratch(draw: Draw) -> Made:
    """Random weights: begins at a blind guess, hardly moves in the warm-up, falls to the end."""
    vocabulary = int(draw.choice(VOCABULARIES))
    every = int(draw.choice([1, 10, 50]))
    count = int(log_uniform(draw, 40, 300))
    shape = Shape(count, every, log_uniform(draw, 0.005, 0.04), int(draw.choice([0, 5, 20])))
    rate = drawn_rate(draw, shape, warmup=float(draw.choice([0.01, 0.03, 0.1])))
    guess = chance(vocabulary) * draw.uniform(1.0, 1.02)
    end = draw.uniform(2.8, 6.5)
    # By the root of the rate: a decay of the rate brings a fall of its own, so it falls to the end.
    made = np.cumsum(np.sqrt(rate)) / float(np.sum(np.sqrt(rate)))
    course = (1 + log_uniform(draw, 30, 300) * made) ** -draw.uniform(0.15, 0.4)
    course = (course - course[-1]) / (1.0 - course[-1])
    level = np.asarray(end + (guess - end) * course)
    # Entropy and accuracy are what TRL's SFTTrainer logs, and random weights are a fault there.
    log_ = log_of(draw, shape, level, rate)
    return Made(shape, rounded(draw, log_), vocabulary if draw.random() < 0.7 else None)


def _at_floor(draw: Draw) -> Made:
    """A task the model already does: low loss from the first row on, accuracy high."""
    every = int(draw.choice([1, 10, 50]))
    count = int(log_uniform(draw, 10, 200))
    noise = log_uniform(draw, 0.05, 0.3)
    shape = Shape(count, every, noise, int(draw.choice([0, 5, 10])))
    rate = drawn_rate(draw, shape)
    floor = log_uniform(draw, 0.05, 0.5)
    # The least that the evaluations of such a run moved was 0.37 %; they begin after a part of it.
    fall = log_uniform(draw, 0.008, 0.03)
    made = np.cumsum(rate) / float(np.sum(rate))
    log_ = log_of(
        draw, shape, floor * (1 - fall * made), rate, eval_noise=log_uniform(draw, 2e-5, 5e-4)
    )
    return Made(shape, rounded(draw, with_predictions(draw, log_)))


def _fixed_set(draw: Draw) -> Made:
    """A noisy train loss with a small fall beside evaluations that hardly have any noise."""
    every = int(draw.choice([1, 10]))
    count = int(log_uniform(draw, 20, 200))
    evaluations = min(count, int(draw.choice([5, 10, 20, 40])))
    shape = Shape(count, every, log_uniform(draw, 0.05, 0.3), evaluations, 2.0)
    rate = drawn_rate(draw, shape)
    start = draw.uniform(0.7, 3.5)
    level = learning(draw, start, start * draw.uniform(0.6, 0.97), rate)
    # Seeds differ by as much as this set rises behind its best: nothing to act on.
    turn = draw.uniform(0.5, 0.8)
    behind = np.clip((shape.share - turn) / (1 - turn), 0.0, 1.0)
    best = level[int(len(level) * turn)]
    rise = draw.choice([0.0, 0.003, 0.007])
    evaluation = np.where(behind > 0, best * (1 + rise * behind), level) if rise else level
    log_ = log_of(draw, shape, level, rate, np.asarray(evaluation), log_uniform(draw, 2e-5, 1e-3))
    return Made(shape, rounded(draw, log_))


KINDS: Mapping[str, Callable[[Draw], Made]] = {
    "ten-rows": _few_rows(10),
    "five-rows": _few_rows(5),
    "logged-every-10": _logged_every(10),
    "logged-every-50": _logged_every(50),
    "padded-start": _padded_start,
    "from-scratch": _from_scratch,
    "at-floor": _at_floor,
    "fixed-set": _fixed_set,
}
"""Every kind, by name."""


def healthy_of_kind(seed: int, number: int) -> Run:
    """Return the healthy run of that number; its kind follows from it."""
    kind = list(KINDS)[number % len(KINDS)]
    draw = np.random.default_rng([seed, STREAM, number])
    made = KINDS[kind](draw)
    plan = made.shape.plan
    context = RunContext(
        max_steps=plan.steps if draw.random() < 0.9 else None,
        num_train_epochs=plan.epochs if draw.random() < 0.9 else None,
        vocab_size=made.vocabulary,
    )
    return Run(f"{kind}-{number}", kind, "healthy", "no", rows(plan, made.log), context)
