"""The evaluation loss jumps from one evaluation to the next and stays up; the train loss rises too.

What a few steps at a wild rate, or a state that was lost, do to a model: both losses leap and come
back slowly, if at all. Evaluations have no batch noise: a jump is held against how far they moved
before; the train loss, in which it may hide, must not have fallen. Where it rose by far more than
its noise, one evaluation is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import exp, hypot

from sftdiag.findings import Scalar
from sftdiag.signals.evaluations import Evaluation

EVALUATED, ONCE, SINCE = "evaluated", "evaluated_once", "evaluated_since"
"""The variants: by two evaluations, by one beside the train loss, and by all since the first."""

ALL_SINCE = 5
"""Evaluations, all of those since the first, that lie JUMP above it: a healthy run's first is its
worst, and no labelled one has two so high beside a train loss that did not fall."""

LEAST_BEFORE = 4
"""Evaluations before a jump: three moves, the first of them the descent that runs begin with."""

JUMP = 0.10
"""Rise between two evaluations as a share of the loss: healthy labelled series bump by up to 5 % at
the peak of the rate."""

STAYS = 0.05
"""Rise that is left at the next one: one evaluation alone may be that of a bad moment."""

MOST_WEIGHTED = exp(-1.0)
"""Nats: -p ln p, a loss weighted by the probability itself, is nowhere higher; a loss above it is
another, and its rise is one."""

MOVES = 3.0
"""Times the largest move before, the first one aside."""

RISEN = 2.0
"""Standard deviations that the train loss has risen by where one evaluation is enough: chance does
it in one of 44, and it is asked only at a jump that no healthy labelled run has."""

BACK = 0.25
"""Share of the jump that is left when it is over."""


Jump = tuple[int, str, dict[str, Scalar]]
"""The step before it, the variant and its numbers."""


def jump_of(points: Sequence[Evaluation]) -> Jump | None:
    """Return a jump that the last two evaluations show, or the last one beside the train loss."""
    return _stayed(points) or _at_once(points) or _since_first(points)


def _stayed(points: Sequence[Evaluation]) -> Jump | None:
    if len(points) < LEAST_BEFORE + 2:
        return None
    *earlier, before, first, second = points
    least = _least([*earlier, before])
    if before.train_loss is None or first.loss - before.loss <= least:
        return None
    if second.loss - before.loss <= max(STAYS * before.loss, BACK * least):
        return None
    train = [point.train_loss for point in (first, second) if point.train_loss is not None]
    # Where the train loss falls meanwhile rows are learned by heart, which is SFT201's.
    if len(train) < 2 or sum(train) / len(train) < before.train_loss:
        return None
    return before.step, EVALUATED, _numbers(before, first, second, sum(train) / len(train))


def _at_once(points: Sequence[Evaluation]) -> Jump | None:
    if len(points) < LEAST_BEFORE + 1:
        return None
    *earlier, before, first = points
    if before.train_loss is None or first.train_loss is None:
        return None
    noise = hypot(before.train_noise, first.train_noise)
    risen = noise > 0.0 and first.train_loss - before.train_loss > RISEN * noise
    if not risen or first.loss - before.loss <= _least([*earlier, before]):
        return None
    return before.step, ONCE, _numbers(before, first, first, first.train_loss)


def _since_first(points: Sequence[Evaluation]) -> Jump | None:
    """Return the first evaluation as the best of all by far, where the train loss rose, too."""
    first, *since = points
    rows = [point for point in points if point.train_loss is not None]
    if len(since) < ALL_SINCE or len(rows) < 2 or first.loss <= 0.0:
        return None
    before, last = rows[0].train_loss, rows[-1].train_loss
    least = min(point.loss for point in since)
    # One that falls is learned by heart, which is SFT201's.
    if before is None or last is None or last <= max(before, MOST_WEIGHTED):
        return None
    if least <= (1 + JUMP) * first.loss:
        return None
    numbers = {**_numbers(first, since[0], since[-1], last), "loss_lowest": before}
    return first.step, SINCE, {**numbers, "eval_loss_least": least, "evaluations": len(since)}


def _least(before: Sequence[Evaluation]) -> float:
    """Return the rise of one evaluation that is a jump, by those before it."""
    moves = [abs(b.loss - a.loss) for a, b in pairwise(before[1:])]
    return max(JUMP * abs(before[-1].loss), MOVES * max(moves, default=0.0))


def _numbers(
    before: Evaluation, first: Evaluation, last: Evaluation, train_loss: float
) -> dict[str, Scalar]:
    return {
        "loss_lowest": before.train_loss,
        "loss_recent": train_loss,
        "noise": before.train_noise,
        "eval_loss_before": before.loss,
        "eval_loss_jump": first.loss,
        "eval_loss_recent": last.loss,
        "jump_step": first.step,
    }


def is_over(evidence: Mapping[str, Scalar], loss: float) -> bool:
    """Return whether an evaluation is back where the jump began, but for a quarter of it."""
    before, jumped = evidence.get("eval_loss_before"), evidence.get("eval_loss_jump")
    if not isinstance(before, float) or not isinstance(jumped, float):
        return False
    return loss - before <= BACK * (jumped - before)
