"""Parts of which generated logs are made: schedules, decays, noise, and rows of log_history."""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = np.random.Generator

SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "warmup_stable_decay",
    "reduce_lr_on_plateau",
)
"""Every shape of learning rate that transformers offers."""

VOCABULARIES = (32_000, 50_257, 65_024, 128_256, 151_936, 256_000)

MAX_RECORDS = 2_500
"""Rows of a generated log at most, so that ten thousand of them are scored in minutes."""


LEAST_MOVE = 0.018
"""Share by which the mean level falls from the first to the last third, at the least: of 337
labelled public runs none that must stay silent moved less, all that moved less than 1.4 % are
sick."""


class Plan(NamedTuple):
    """How long a run is and how often it logs and evaluates.

    Attributes:
        steps: optimizer steps.
        every: steps between two train rows.
        eval_every: train rows between two evaluations; 0 is none.
        epochs: epochs planned.
    """

    steps: int
    every: int
    eval_every: int
    epochs: float

    @property
    def records(self) -> int:
        """Train rows of the whole run."""
        return self.steps // self.every


def log_uniform(draw: Draw, low: float, high: float) -> float:
    """Return a number whose logarithm is uniform between the two."""
    return float(np.exp(draw.uniform(log(low), log(high))))


def draw_plan(draw: Draw) -> Plan:
    """Return a run of 10 to 20,000 steps that logs every 1 to 500."""
    steps = int(log_uniform(draw, 10, 20_000))
    choices = [e for e in (1, 1, 2, 5, 10, 10, 20, 25, 50, 100, 500) if steps // e >= 8]
    every = int(draw.choice([e for e in choices or [1] if steps // e <= MAX_RECORDS] or [10]))
    records = steps // every
    evaluations = int(log_uniform(draw, 3, 100)) if draw.random() < 0.7 else 0
    eval_every = max(1, records // evaluations) if evaluations else 0
    epochs = float(draw.choice([0.3, 1, 1, 2, 3, 3, 5, 10]))
    return Plan(steps, every, eval_every, epochs)


def schedule(name: str, share: Array, warmup: float, peak: float) -> Array:
    """Return the learning rate at each share of the run."""
    after = np.clip((share - warmup) / max(1e-9, 1 - warmup), 0.0, 1.0)
    shapes: dict[str, Array] = {
        "linear": 1 - after,
        "cosine": (1 + np.cos(np.pi * after)) / 2,
        "cosine_with_restarts": (1 + np.cos(np.pi * ((3 * after) % 1.0))) / 2,
        "polynomial": (1 - after) ** 2,
        "inverse_sqrt": 1 / np.sqrt(1 + 20 * after),
        "cosine_with_min_lr": 0.1 + 0.9 * (1 + np.cos(np.pi * after)) / 2,
        "warmup_stable_decay": np.clip((1 - after) / 0.2, 0.0, 1.0),
        "reduce_lr_on_plateau": np.power(0.1, np.floor(after * 2.5)),
    }
    shape = shapes.get(name, np.ones_like(share))
    climb = np.clip(share / warmup, 0.0, 1.0) if warmup else np.ones_like(share)
    return peak * np.where(share < warmup, climb, shape)


def decay(draw: Draw, records: int, start: float, end: float) -> Array:
    """Return a falling curve from about ``start`` to ``end``: a power law or an exponential."""
    share = np.arange(records) / max(1, records - 1)
    if draw.random() < 0.5:
        speed = log_uniform(draw, 2, 60)
        power = draw.uniform(0.4, 1.5)
        shape = (1 + speed * share) ** -power
    else:
        shape = np.exp(-log_uniform(draw, 1.5, 30) * share)
    shape = (shape - shape[-1]) / max(1e-12, shape[0] - shape[-1])
    return np.asarray(end + (start - end) * shape)


def moved(curve: Array, least: float) -> Array:
    """Return the curve, with a steady fall added where it moves less than ``least``."""
    third = max(1, len(curve) // 3)
    missing = least - (1 - curve[-third:].mean() / curve[:third].mean())
    if missing <= 0:
        return curve
    # The thirds' centres are two thirds of the run apart.
    return np.asarray(curve * (1 - 1.5 * missing * np.linspace(0.0, 1.0, len(curve))))


def noise(draw: Draw, count: int, scale: float) -> Array:
    """Return factors around 1: normal, Student t or lognormal, of changing size, correlated."""
    kind = draw.integers(4)
    if kind == 0:
        raw = draw.standard_t(3, count) / np.sqrt(3)
    elif kind == 1:
        raw = (np.exp(0.5 * draw.standard_normal(count)) - np.exp(0.125)) / 0.604
    else:
        raw = draw.standard_normal(count)
    rho = draw.choice([0.0, 0.0, 0.2, 0.4])
    for index in range(1, count if rho else 0):
        raw[index] = rho * raw[index - 1] + np.sqrt(1 - rho**2) * raw[index]
    growth = np.linspace(1.0, draw.choice([0.5, 1.0, 1.0, 1.5, 2.0]), count)
    return np.asarray(np.maximum(0.2, 1 + scale * raw * growth / growth.max()))


class Log(NamedTuple):
    """The series of a run before they become rows; arrays of one value a train row.

    Attributes:
        loss: the train loss; NaN stands for a lost step.
        rate: the learning rate.
        evaluation: the evaluation loss at every train row; used where one is made.
        grad_norm: the gradient norm, or None.
        entropy: the entropy of the predictions, or None.
        accuracy: token accuracy, or None.
        hidden: a NaN is logged as the trainer does by default: loss 0.0, grad_norm NaN.
    """

    loss: Array
    rate: Array
    evaluation: Array
    grad_norm: Array | None = None
    entropy: Array | None = None
    accuracy: Array | None = None
    hidden: bool = True


def rows(plan: Plan, log: Log) -> list[dict[str, Any]]:
    """Return the rows of log_history, with the closing summary."""
    found: list[dict[str, Any]] = []
    for index in range(plan.records):
        step = (index + 1) * plan.every
        epoch = round(plan.epochs * step / plan.steps, 4)
        loss = float(log.loss[index])
        lost = bool(np.isnan(loss))
        row: dict[str, Any] = {
            "step": step,
            "epoch": epoch,
            "learning_rate": float(log.rate[index]),
        }
        row["loss"] = 0.0 if lost and log.hidden else loss
        for name, series in (
            ("grad_norm", log.grad_norm),
            ("entropy", log.entropy),
            ("mean_token_accuracy", log.accuracy),
        ):
            if series is not None:
                row[name] = float("nan") if lost else float(series[index])
        found.append(row)
        if plan.eval_every and (index + 1) % plan.eval_every == 0:
            value = float("nan") if lost else float(log.evaluation[index])
            found.append({"step": step, "epoch": epoch, "eval_loss": value, "eval_runtime": 1.0})
    mean = float(np.nanmean(log.loss)) if not np.isnan(log.loss).all() else 0.0
    summary = {"step": plan.steps, "epoch": plan.epochs, "train_loss": mean, "train_runtime": 1.0}
    return [*found, summary]
