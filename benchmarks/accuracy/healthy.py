"""Generated healthy runs, with what makes healthy runs look sick to naive rules.

A run is a plan (length, logging, schedule), a decay, and any of the traps in :data:`TRAPS`;
everything follows from (seed, number). Kinds that depend on how a trainer writes its rows, and
runs of few rows, are in :mod:`benchmarks.accuracy.healthy_kinds`.

Two things changed after the first scoring, for a healthy run must have learned: a curve that moved
less than labellers call flat now falls by ``LEAST_MOVE`` (nearly all of ``converged``, 3 % of
the others; runs that rest at their floor are a kind of their own), and a loss in units of its own
says that it is one.
"""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.curves import (
    LEAST_MOVE,
    SCHEDULERS,
    VOCABULARIES,
    Array,
    Draw,
    Log,
    Plan,
    decay,
    draw_plan,
    log_uniform,
    moved,
    noise,
    rows,
    schedule,
)
from benchmarks.accuracy.runs import Run
from sftdiag.context import RunContext

TRAPS = (
    "plain",
    "plain",
    "converged",
    "batch-1",
    "tiny-eval",
    "staircase",
    "length-grouping",
    "sorted",
    "warmup-bump",
    "restarts",
    "resume",
    "scaled",
    "near-zero",
    "plateau",
)


def healthy(seed: int, number: int) -> Run:
    """Return the healthy run of that number."""
    draw = np.random.default_rng([seed, number])
    trap = TRAPS[number % len(TRAPS)]
    plan = draw_plan(draw)
    if trap == "near-zero":
        plan = plan._replace(epochs=min(plan.epochs, 2.0))
    share = (np.arange(plan.records) + 1) / plan.records
    scheduler = "cosine_with_restarts" if trap == "restarts" else str(draw.choice(SCHEDULERS))
    warmup = float(draw.choice([0.0, 0.03, 0.05, 0.1]))
    rate = schedule(scheduler, share, warmup, log_uniform(draw, 5e-6, 5e-4))
    level = _level(draw, trap, plan)
    level, ripple = _shape(draw, trap, plan, level, share, rate)
    scale = 0.3 if trap == "batch-1" else log_uniform(draw, 0.005, 0.15)
    loss = level * ripple * noise(draw, plan.records, scale)
    unit = log_uniform(draw, 1e-3, 1e3) if trap == "scaled" else 1.0
    log = Log(
        np.maximum(loss * unit, 0.0),
        rate,
        _evaluation(draw, trap, level) * unit,
        grad_norm=_grad_norm(draw, ripple) if draw.random() < 0.8 else None,
    )
    if unit == 1.0 and draw.random() < 0.4:
        log = log._replace(entropy=_entropy(draw, loss), accuracy=_accuracy(draw, level))
    written = rows(plan, log)
    if trap == "resume":
        written = _resumed(draw, written)
    return Run(
        f"healthy-{number}", trap, "healthy", "no", written, _context(draw, plan, unit, scheduler)
    )


def _level(draw: Draw, trap: str, plan: Plan) -> Array:
    start = draw.uniform(0.7, 4.5)
    kept = draw.uniform(0.97, 1.0) if trap == "converged" else draw.uniform(0.3, 0.97)
    if trap == "near-zero":
        # Short labels: the loss is near 0 within two epochs, not by heart.
        return decay(draw, plan.records, draw.uniform(0.2, 0.7), draw.uniform(0.001, 0.05))
    curve = decay(draw, plan.records, start, start * kept)
    if trap == "plateau":
        turn = int(plan.records * draw.uniform(0.2, 0.5))
        curve[turn:] = curve[turn]
    return moved(curve, LEAST_MOVE + (1 - kept if trap == "converged" else 0.0))


def _shape(
    draw: Draw, trap: str, plan: Plan, level: Array, share: Array, rate: Array
) -> tuple[Array, Array]:
    """Return the level and the factor that its trap adds to the train rows only."""
    ripple: Array = np.ones(plan.records)
    fall = 1 - level.min() / level[0]
    if trap == "staircase":
        epoch = np.minimum(np.floor(share * plan.epochs - 1e-9), 6)
        ripple = np.asarray((1 - draw.uniform(0.04, 0.12)) ** epoch)
    elif trap == "length-grouping":
        period = 50 / plan.every
        phase = (np.arange(plan.records) % max(1.0, period)) / max(1.0, period)
        if period >= 3:
            ripple = np.asarray(1 + draw.uniform(0.1, 0.5) * (0.5 - phase))
    elif trap == "sorted":
        # Rows sorted by length: hard ones last, but learning outweighs it.
        swing = min(0.1, 0.2 * fall)
        ripple = 1 + swing * np.sin(2 * np.pi * share * max(1.0, plan.epochs))
    elif trap in ("warmup-bump", "restarts"):
        height = draw.uniform(0.02, 0.08)
        peaks = [0.08] if trap == "warmup-bump" else [0.36, 0.69]
        for peak in peaks:
            width = draw.uniform(0.02, 0.05)
            level = level * (1 + height * np.exp(-(((share - peak) / width) ** 2)))
    return level, ripple


def _evaluation(draw: Draw, trap: str, level: Array) -> Array:
    """Return the evaluation loss: the level seen by a set of 5 to 5,000 rows, with its own gap."""
    size = log_uniform(draw, 5, 30) if trap == "tiny-eval" else log_uniform(draw, 30, 5_000)
    gap = draw.normal(1.05, 0.1)
    # The rows are the same at every evaluation, so only part of their spread is noise.
    scale = draw.uniform(0.1, 0.3) / np.sqrt(size)
    return level * gap * noise(draw, len(level), scale)


def _grad_norm(draw: Draw, ripple: Array) -> Array:
    factor = np.exp(draw.normal(0.0, draw.uniform(0.1, 0.5), len(ripple)))
    return log_uniform(draw, 0.1, 10) * factor * ripple


def _entropy(draw: Draw, loss: Array) -> Array:
    return loss * draw.uniform(0.92, 1.02) * draw.normal(1.0, 0.01, len(loss))


def _accuracy(draw: Draw, level: Array) -> Array:
    return np.clip(np.exp(-0.4 * level) + draw.normal(0.0, 0.01, len(level)), 0.0, 1.0)


def _resumed(draw: Draw, written: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return a log that goes back to a checkpoint once and does some rows again."""
    if len(written) < 12:
        return written
    cut = int(draw.integers(len(written) // 3, len(written) - 2))
    back = max(1, cut - int(draw.integers(1, max(2, len(written) // 6))))
    return [*written[:cut], *written[back:]]


def _context(draw: Draw, plan: Plan, unit: float, scheduler: str) -> RunContext:
    known = draw.random() < 0.5
    return RunContext(
        max_steps=plan.steps if draw.random() < 0.9 else None,
        num_train_epochs=plan.epochs if draw.random() < 0.9 else None,
        vocab_size=int(draw.choice(VOCABULARIES)) if known and unit == 1.0 else None,
        lr_scheduler_type=scheduler if known else None,
        custom_loss=True if unit != 1.0 else None,
    )
