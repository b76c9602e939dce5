"""How far SGD can take the loss down when every step is clipped: arithmetic, no statistics.

A step of SGD is the rate times the clipped gradient: the weights move by at most rate x
max_grad_norm, and the loss falls by at most that times the gradient's norm (to first order; a
batch's norm is larger than that of the mean gradient). Adam divides by the gradient's own size, so
that a clip changes next to nothing there.
"""

from __future__ import annotations

from sftdiag.context import SGD
from sftdiag.signals.stream import Signals

DECAYS = {"linear": 0.5, "cosine": 0.5}
"""The most that the mean rate of the rest of a schedule is, as a share of the rate it begins at."""


def most_fall(signals: Signals) -> float | None:
    """Return the most, in nats, that all planned steps can take the loss down; None where unknown.

    None, too, where a block of steps was not clipped: its gradient alone sets its pace.
    """
    context, plan, blocks = signals.context, signals.max_steps, signals.blocks
    clip, rate = context.max_grad_norm, signals.learning_rate
    if context.optim != SGD or not clip or not plan or not blocks or rate is None:
        return None
    way = norm = 0.0
    done = 0
    for block in blocks:
        if block.grad_norm is None or block.learning_rate is None or block.grad_norm <= clip:
            return None
        way += block.learning_rate * (block.last_step - done)
        norm, done = max(norm, block.grad_norm), block.last_step
    ends = context.schedule_steps is not None and context.schedule_steps <= plan
    decay = DECAYS.get(context.lr_scheduler_type or "", 1.0) if ends else 1.0
    return (way + decay * rate * max(0, plan - done)) * clip * norm
