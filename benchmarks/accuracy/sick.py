"""Generated sick runs: one disease each on a healthy curve, on a ladder of effect sizes.

Written and committed before the first run was scored. Runs log 200 to 400 rows and evaluate every
ten, so that delays in records compare with those that the peers were measured at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.curves import (
    Array,
    Draw,
    Log,
    Plan,
    decay,
    log_uniform,
    noise,
    rows,
    schedule,
)
from benchmarks.accuracy.runs import Run
from sftdiag.context import RunContext

VOCABULARY = 32_000


class Course(NamedTuple):
    """A run in the making.

    Attributes:
        level: the healthy course of the train loss.
        share: the share of the run at each row.
        rate: the learning rate at each row.
        onset: the row at which the disease begins.
    """

    level: Array
    share: Array
    rate: Array
    onset: int


Make = Callable[[Draw, Course, float], Log]


def _plain(draw: Draw, course: Course, loss: Array, evaluation: Array | None = None) -> Log:
    """Return a log with the noise and the companions of an ordinary run."""
    count = len(loss)
    seen = evaluation if evaluation is not None else loss
    noisy = loss * noise(draw, count, log_uniform(draw, 0.01, 0.08))
    return Log(
        noisy,
        course.rate,
        seen * draw.normal(1.0, 0.004, count) * 1.03,
        grad_norm=np.exp(draw.normal(0.0, 0.2, count)),
    )


def _overfitting(draw: Draw, course: Course, size: float) -> Log:
    after = np.clip((course.share - course.share[course.onset]) / 0.5, 0.0, 1.0)
    level = course.level
    best = level[course.onset]
    evaluation = np.where(after > 0, best * (1 + size * after), level)
    learned = level * (1 - 0.4 * after)
    return _plain(draw, course, learned, evaluation)


def _divergence(draw: Draw, course: Course, size: float) -> Log:
    index = np.arange(len(course.level))
    climb = np.clip((index - course.onset) / 5, 0.0, 1.0)
    loss = course.level + climb * (size * course.level[0] - course.level)
    log_ = _plain(draw, course, loss)
    assert log_.grad_norm is not None
    return log_._replace(grad_norm=log_.grad_norm * (1 + 10 * climb))


def _rebound(draw: Draw, course: Course, size: float) -> Log:
    low = course.level[course.onset]
    after = np.clip((course.share - course.share[course.onset]) / 0.15, 0.0, 1.0)
    loss = np.where(after > 0, low + size * (course.level[0] - low) * after, course.level)
    return _plain(draw, course, loss)


def _nan(draw: Draw, course: Course, size: float) -> Log:
    loss = course.level.copy()
    loss[course.onset :] = np.nan
    return _plain(draw, course, loss)._replace(hidden=size > 0)


def _flat(draw: Draw, course: Course, size: float) -> Log:
    loss = log(VOCABULARY) * (1.0 - size * course.share)
    return _plain(draw, course, loss)


def _frozen(draw: Draw, course: Course, size: float) -> Log:
    count = len(course.level)
    log_ = _plain(draw, course, np.full(count, course.level[0]))
    # Weights that do not move are evaluated alike each time, to the last digit.
    same = np.full(count, log_.evaluation[0])
    return log_._replace(evaluation=same, grad_norm=np.zeros(count))


def _zero(draw: Draw, course: Course, size: float) -> Log:
    count = len(course.level)
    return Log(np.zeros(count), course.rate, np.full(count, np.nan), grad_norm=np.zeros(count))


def _oscillation(draw: Draw, course: Course, size: float) -> Log:
    index = np.arange(len(course.level))
    grown = np.clip((index - course.onset) / 20, 0.0, 1.0)
    wave = np.sin(2 * np.pi * index / draw.uniform(6, 14))
    log_ = _plain(draw, course, course.level * (1 + size * grown * (wave + 0.3)))
    assert log_.grad_norm is not None
    # The swing is the optimizer's: the gradient grows at the turns, with the loss.
    return log_._replace(grad_norm=log_.grad_norm * np.exp(size * 3 * grown * wave))


def _spikes(draw: Draw, course: Course, size: float) -> Log:
    loss = course.level.copy()
    log_ = _plain(draw, course, loss)
    count = len(loss)
    for at in [course.onset, *draw.integers(course.onset + 1, count - 4, 5)]:
        log_.loss[at] = loss[at] * size
    return log_


def _early_jump(draw: Draw, course: Course, size: float) -> Log:
    index = np.arange(len(course.level))
    rise = np.clip(index / 6, 0.0, 1.0)
    start = course.level[0]
    loss = start * (1 + size * rise) * (1 - 0.4 * course.share)
    return _plain(draw, course, loss)


def _above_chance(draw: Draw, course: Course, size: float) -> Log:
    loss = decay(draw, len(course.level), log(VOCABULARY) * size, 6.0)
    log_ = _plain(draw, course, loss)
    count = len(loss)
    entropy = loss / np.linspace(2.0, 1.05, count)
    accuracy = np.clip(np.linspace(0.01, 0.12, count), 0.0, 1.0)
    return log_._replace(entropy=entropy, accuracy=accuracy)


def _memorisation(draw: Draw, course: Course, size: float) -> Log:
    loss = course.level[0] * np.power(size / course.level[0], course.share)
    return _plain(draw, course, loss)


class Ladder(NamedTuple):
    """A disease with its sizes, smallest first; ``evaluates`` says whether the run does."""

    label: str
    unit: str
    sizes: tuple[float, ...]
    make: Make
    evaluates: bool = True


LADDERS: Mapping[str, Ladder] = {
    "overfitting": Ladder(
        "overfitting", "rise of eval_loss", (0.03, 0.05, 0.1, 0.2, 0.4), _overfitting
    ),
    "divergence": Ladder(
        "divergence", "loss over its start", (1.3, 1.6, 2.0, 3.0, 6.0), _divergence
    ),
    "rebound": Ladder("loss_rise", "share of the fall", (0.25, 0.4, 0.6, 0.8), _rebound),
    "nan": Ladder("nan", "0 in the open, 1 hidden", (0.0, 1.0), _nan),
    "flat": Ladder("flat_loss", "share fallen", (0.02, 0.01, 0.005, 0.0), _flat),
    "frozen": Ladder("frozen", "", (1.0,), _frozen),
    "zero-loss": Ladder("mask-all", "", (1.0,), _zero),
    "oscillation": Ladder(
        "oscillation", "amplitude over loss", (0.05, 0.1, 0.2, 0.4, 0.8), _oscillation
    ),
    "spikes": Ladder("spikes", "times the loss", (1.5, 2.0, 3.0, 5.0, 10.0), _spikes),
    "early-jump": Ladder("lr-high", "rise over first loss", (0.2, 0.4, 0.8, 1.6), _early_jump),
    "above-chance": Ladder("mask-random", "times ln V", (0.95, 1.1, 1.25), _above_chance),
    "memorisation": Ladder(
        "memorisation", "final loss", (0.2, 0.08, 0.03, 0.005), _memorisation, False
    ),
}
"""Every disease that a log can show."""

FROM_THE_START = frozenset(
    {"flat", "frozen", "zero-loss", "early-jump", "above-chance", "memorisation"}
)


def sick(seed: int, disease: str, size: float, number: int) -> Run:
    """Return a run with a disease of one size; everything follows from the arguments."""
    ladder = LADDERS[disease]
    names = list(LADDERS)
    key = [seed, names.index(disease), ladder.sizes.index(size), number]
    draw = np.random.default_rng(key)
    records = int(draw.integers(200, 400))
    every = int(draw.choice([1, 5, 10]))
    epochs = 6.0 if disease in ("memorisation", "overfitting") else 1.0
    plan = Plan(records * every, every, 10 if ladder.evaluates else 0, epochs)
    share = (np.arange(records) + 1) / records
    rate = schedule("cosine", share, 0.03, log_uniform(draw, 2e-5, 3e-4))
    start = draw.uniform(1.5, 4.0)
    level = decay(draw, records, start, start * draw.uniform(0.3, 0.7))
    onset = 0 if disease in FROM_THE_START else int(records * draw.uniform(0.3, 0.5))
    log_ = ladder.make(draw, Course(level, share, rate, onset), size)
    vocabulary = VOCABULARY if disease in ("flat", "above-chance") else None
    context = RunContext(max_steps=plan.steps, num_train_epochs=epochs, vocab_size=vocabulary)
    return Run(
        f"{disease}-{size}-{number}",
        disease,
        ladder.label,
        "yes",
        rows(plan, log_),
        context,
        (onset + 1) * every,
        size,
    )
