"""How far the planned steps can take the loss down: arithmetic, no statistics.

A step of SGD is the rate times the clipped gradient: the weights move by at most rate x
max_grad_norm, and the loss falls by at most that times the gradient's norm (to first order; a
batch's norm is larger than that of the mean gradient). Adam divides by the gradient's own size,
which takes a clip out again, and adds adam_epsilon to it: divided by no less, its steps are at most
those of SGD over epsilon, which matters where that is large beside the clipped gradient. Else a
step of Adam moves a weight by about the rate at the most (Kingma and Ba 2015, section 2.1), and all
of N weights by the rate times the root of N. Without a clip SGD's step is the rate times the whole
gradient, and the fall at most that times its norm once more.
"""

from __future__ import annotations

from math import sqrt

from sftdiag.context import SGD, RunContext
from sftdiag.signals.stream import Signals

ADAM = ("adamw", "paged_adamw")
"""How transformers' names of Adam begin that divide by the root of a running square + epsilon."""

DECAYS = {"linear": 0.5, "cosine": 0.5}
"""The most that the mean rate of the rest of a schedule is, as a share of the rate it begins at."""

SCHEDULES = frozenset(
    {*DECAYS, "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"}
    | {"cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"}
)
"""transformers' names of schedules that are nowhere above the rate asked for."""

ARRIVING_GRAD_NORM = 1e-3
"""From here on a gradient arrives: healthy logs have 0.1 to 10, adapters at their start 0.01, and
Adam, which divides by the gradient's own size, moves the weights as far for 0.04 as for 4."""

NEAR = 1e4
"""Times adam_epsilon up to which a clip is small beside it: with more, as with the usual 1e-8, the
steps of a run could take any loss down to 0."""


def may_be_short(context: RunContext) -> bool:
    """Return whether the settings may leave steps that are too short to learn."""
    if context.optim == SGD:
        return True
    clip, least = context.max_grad_norm, divides_by(context)
    if not clip or not least:
        return False
    return clip <= NEAR * least


def divides_by(context: RunContext) -> float | None:
    """Return the least that a gradient is divided by; None where that is not known."""
    if context.optim == SGD:
        return 1.0
    if context.optim is not None and context.optim.startswith(ADAM):
        return context.adam_epsilon or None
    return None


def most_fall(signals: Signals) -> float | None:
    """Return the most, in nats, that all planned steps can take the loss down; None where unknown.

    None, too, where a block of steps was not clipped: its gradient alone sets its pace.
    """
    context = signals.context
    clip, least = context.max_grad_norm, divides_by(context)
    if not clip or not least or not may_be_short(context):
        return None
    if any(norm is None or norm <= clip for norm in signals.columns.grad_norms):
        return None
    return _along(signals, clip / least)


def most_fall_at(signals: Signals) -> float | None:
    """Return the same of steps at the rate asked for, whatever they are clipped to.

    Of SGD's, None where hardly a gradient arrives: what is short then is the gradient.
    """
    context = signals.context
    if context.optim == SGD:
        norm = max((block.grad_norm or 0.0 for block in signals.blocks), default=0.0)
        return _along(signals, norm) if norm >= ARRIVING_GRAD_NORM else None
    weights = context.trainable_parameters
    if not weights or context.optim is None or not context.optim.startswith(ADAM):
        return None
    # A process may hold a part of them only.
    return _along(signals, sqrt(weights * (context.world_size or 1)))


def _along(signals: Signals, length: float) -> float | None:
    """Return how far steps so long, at a rate of 1, go along the gradient in the whole plan."""
    plan, blocks, rate = signals.max_steps, signals.blocks, signals.learning_rate
    if not plan or not blocks or rate is None:
        return None
    way = norm = 0.0
    done = 0
    for block in blocks:
        if block.grad_norm is None or block.learning_rate is None:
            return None
        way += block.learning_rate * (block.last_step - done)
        norm, done = max(norm, block.grad_norm), block.last_step
    rest = _to_come(signals, rate, done, plan)
    return None if rest is None else (way + rest) * length * norm


def _to_come(signals: Signals, rate: float, done: int, plan: int) -> float | None:
    """Return the most that the rates of the steps to come add up to; None while that is unknown."""
    context, left = signals.context, max(0, plan - done)
    climb = min(left, max(0, (context.warmup_steps or 0) - done))
    if climb:
        if context.learning_rate is None or context.lr_scheduler_type not in SCHEDULES:
            return None
        rate = max(rate, context.learning_rate)
    ends = context.schedule_steps is not None and context.schedule_steps <= plan
    decay = DECAYS.get(context.lr_scheduler_type or "", 1.0) if ends else 1.0
    return rate * (climb + decay * (left - climb))
