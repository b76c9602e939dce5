"""The evaluation loss jumps from one evaluation to the next and stays up; the train loss rises too.

What a few steps at a wild rate, or a state that was lost, do to a model: both losses leap and come
back slowly, if at all. Evaluations have no batch noise: a jump is held against how far they moved
before; the train loss, in which it may hide, must not have fallen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftdiag.findings import Scalar
from sftdiag.signals.evaluations import Evaluation

EVALUATED = "evaluated"
"""The variant."""

LEAST_BEFORE = 4
"""Evaluations before a jump: three moves, the first of them the descent that runs begin with."""

JUMP = 0.10
"""Rise between two evaluations as a share of the loss: healthy labelled series bump by up to 5 % at
the peak of the rate."""

STAYS = 0.05
"""Rise that is left at the next one: one evaluation alone may be that of a bad moment."""

MOVES = 3.0
"""Times the largest move before, the first one aside."""

BACK = 0.25
"""Share of the jump that is left when it is over."""


def jump_of(points: Sequence[Evaluation]) -> tuple[int, dict[str, Scalar]] | None:
    """Return the step before a jump that the last two evaluations show, and its numbers."""
    if len(points) < LEAST_BEFORE + 2:
        return None
    *earlier, before, first, second = points
    level = before.loss
    if level <= 0.0 or before.train_loss is None:
        return None
    moves = [abs(b.loss - a.loss) for a, b in zip(earlier[1:], [*earlier[2:], before], strict=True)]
    least = max(JUMP * level, MOVES * max(moves, default=0.0))
    if first.loss - level <= least or second.loss - level <= max(STAYS * level, BACK * least):
        return None
    train = [point.train_loss for point in (first, second) if point.train_loss is not None]
    # Where the train loss falls meanwhile rows are learned by heart, which is SFT201's.
    if len(train) < 2 or sum(train) / len(train) < before.train_loss:
        return None
    return before.step, {
        "loss_lowest": before.train_loss,
        "loss_recent": sum(train) / len(train),
        "noise": before.train_noise,
        "eval_loss_before": level,
        "eval_loss_jump": first.loss,
        "eval_loss_recent": second.loss,
        "jump_step": first.step,
    }


def is_over(evidence: Mapping[str, Scalar], loss: float) -> bool:
    """Return whether an evaluation is back where the jump began, but for a quarter of it."""
    before, jumped = evidence.get("eval_loss_before"), evidence.get("eval_loss_jump")
    if not isinstance(before, float) or not isinstance(jumped, float):
        return False
    return loss - before <= BACK * (jumped - before)
