"""Rows as a trainer writes them: each the mean over the steps since the last one.

``logging_steps`` is the window. The noise of a row falls with its root, the learning rate is the
one at its last step, and an evaluation, made on the same rows each time, has hardly any noise.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.curves import (
    LEAST_MOVE,
    SCHEDULERS,
    Array,
    Draw,
    Log,
    Plan,
    log_uniform,
    moved,
    schedule,
)

VOCABULARIES = (32_000, 151_936, 262_144)
"""Of Llama 2, Qwen 2 and Gemma 3: the smallest in wide use, a usual one, the largest."""

EVAL_NOISE = (2e-5, 2e-3)
"""Relative noise from one evaluation to the next on the same rows: what the second differences of
the public and own healthy runs show, but for sets of a few rows."""


class Shape(NamedTuple):
    """How a run is written.

    Attributes:
        rows: train rows.
        every: steps a row is the mean of.
        noise: relative noise of one step's loss.
        evaluations: evaluations, evenly spread; 0 is none.
        epochs: epochs planned.
    """

    rows: int
    every: int
    noise: float
    evaluations: int = 0
    epochs: float = 1.0

    @property
    def plan(self) -> Plan:
        """The plan that :func:`benchmarks.accuracy.curves.rows` writes."""
        between = max(1, self.rows // self.evaluations) if self.evaluations else 0
        return Plan(self.rows * self.every, self.every, between, self.epochs)

    @property
    def share(self) -> Array:
        """The share of the run at each step."""
        steps = self.rows * self.every
        return np.asarray((np.arange(steps) + 1) / steps)

    def means(self, steps: Array) -> Array:
        """Return the rows' means of a series of one value a step."""
        return np.asarray(steps.reshape(self.rows, self.every).mean(axis=1))

    def ends(self, steps: Array) -> Array:
        """Return a series' value at the last step of each row."""
        return np.asarray(steps[self.every - 1 :: self.every])


def step_noise(draw: Draw, count: int, scale: float) -> Array:
    """Return a factor a step around 1: normal or, as batches with a hard row are, lognormal."""
    if draw.random() < 0.5:
        return np.asarray(np.maximum(0.1, 1 + scale * draw.standard_normal(count)))
    return np.asarray(np.exp(scale * draw.standard_normal(count) - scale**2 / 2))


def log_of(
    draw: Draw,
    shape: Shape,
    level: Array,
    rate: Array,
    evaluation: Array | None = None,
    eval_noise: float | None = None,
) -> Log:
    """Return the series of a run from its course.

    Args:
        draw: the random numbers.
        shape: how the run is written.
        level: the course of the train loss, a value a step.
        rate: the learning rate, a value a step.
        evaluation: the course of the evaluation loss, a value a step; the train loss's at default.
        eval_noise: relative noise of an evaluation; drawn from :data:`EVAL_NOISE` at default.
    """
    loss = shape.means(level * step_noise(draw, len(level), shape.noise))
    scale = log_uniform(draw, *EVAL_NOISE) if eval_noise is None else eval_noise
    seen = shape.ends(level if evaluation is None else evaluation)
    gap = draw.normal(1.02, 0.03)
    return Log(
        loss,
        shape.ends(rate),
        seen * gap * (1 + scale * draw.standard_normal(shape.rows)),
        grad_norm=log_uniform(draw, 0.3, 3) * np.exp(draw.normal(0.0, 0.2, shape.rows)),
    )


def drawn_rate(draw: Draw, shape: Shape, warmup: float | None = None) -> Array:
    """Return the learning rate a step: mostly TRL's default, linear without a warm-up."""
    name = "linear" if draw.random() < 0.5 else str(draw.choice(SCHEDULERS))
    start = float(draw.choice([0.0, 0.0, 0.03, 0.1])) if warmup is None else warmup
    # transformers 5 writes the rate a step was made with, older ones the next step's.
    before = 1 / len(shape.share) if draw.random() < 0.5 else 0.0
    return schedule(name, shape.share - before, start, log_uniform(draw, 5e-6, 5e-4))


def learning(draw: Draw, start: float, end: float, rate: Array) -> Array:
    """Return a course that falls as the learning rate adds up: a power law or an exponential."""
    made = np.cumsum(rate) / max(1e-12, float(np.sum(rate)))
    if draw.random() < 0.5:
        course = (1 + log_uniform(draw, 2, 40) * made) ** -draw.uniform(0.4, 1.5)
    else:
        course = np.exp(-log_uniform(draw, 1.5, 15) * made)
    course = (course - course[-1]) / max(1e-12, 1.0 - course[-1])
    return moved(np.asarray(end + (start - end) * course), LEAST_MOVE)


def with_predictions(draw: Draw, log_: Log, certain: Array | None = None) -> Log:
    """Return the log with entropy and token accuracy, as TRL writes them.

    Args:
        draw: the random numbers.
        log_: the series.
        certain: the loss that the model's own certainty would have; the log's at default. Far below
            the log's loss is a model that is surely wrong.
    """
    count = len(log_.loss)
    sure = log_.loss if certain is None else certain
    entropy = sure * draw.uniform(0.94, 1.0) * draw.normal(1.0, 0.01, count)
    accuracy = np.exp(-0.42 * log_.loss) + draw.normal(0.0, 0.005, count)
    return log_._replace(entropy=entropy, accuracy=np.clip(accuracy, 0.0, 1.0))


def rounded(draw: Draw, log_: Log) -> Log:
    """Return the log as half of all trainers write it: the loss of transformers 4 has 4 digits."""
    return log_._replace(loss=np.round(log_.loss, 4)) if draw.random() < 0.5 else log_


def chance(vocabulary: int) -> float:
    """Return the loss of a blind guess."""
    return log(vocabulary)
