"""Evaluations that do not move: made on the same rows each time, they have no batch noise."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.findings import Scalar
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.noise import cautious_noise, is_short, rounding
from sftdiag.signals.stream import Signals

LEAST_EVALUATIONS = 3
"""Two may agree by chance where a run has found its floor between them."""

LEAST_PROVEN = 2
"""The same beside gradient norms of exactly 0, of a number that is not a short one."""

LEAST_SHARE = 0.3
"""Share of the plan that they must span: before, a warm-up may not have ended."""

STILL = 0.0034
"""Spread over a whole plan, as a share of the loss, of evaluations that show no learning. Over 167
runs of a real model those that learned nothing (rate too low or 0, frozen, skipped steps) moved by
0 to 0.31 %, healthy ones that began at their floor by 0.37 % at least and others by 0.85 %; over 80
labelled public runs 0 to 0.21 % and 1.2 % at least."""

PASSES = 2.0
"""Passes over the rows between evaluations that agree to the last digit, whatever the plan."""

EQUAL = 1e-4
"""Spread at which they agree to four digits: no step was made between them."""

FELL = 0.0085
"""Fall over a whole plan that shows learning; see :data:`STILL`."""

NOISE, NOISY_EVALUATIONS = 4.0, 6
"""Times their own noise that evaluations must have fallen, and how many of them show any: the first
of many that only scatter lies 3 to 4 times it above the lowest."""


def still(
    points: Sequence[Evaluation], signals: Signals, most: float = STILL
) -> dict[str, Scalar] | None:
    """Return the numbers that say that the evaluations have not moved, or None.

    ``most``: the spread that counts as none; up to FELL where their scores say the same.
    """
    if len(points) < LEAST_EVALUATIONS:
        return None
    share = signals.share_of_plan(points[-1].step - points[0].step)
    losses = [point.loss for point in points]
    level = max(abs(loss) for loss in losses)
    # Numbers that were rounded for print may lie that much further apart.
    spread = max(losses) - min(losses) + rounding(level, signals.context.logged_digits)
    if share < LEAST_SHARE or level == 0.0 or spread > most * share * level:
        return None
    numbers: dict[str, Scalar] = {
        "eval_loss_first": losses[0],
        "eval_loss_last": losses[-1],
        "eval_spread": spread / level,
        "evaluations": len(points),
    }
    if spread <= EQUAL * level:
        numbers["equal_evaluations"] = len(points)
    return numbers


def equal(
    points: Sequence[Evaluation], signals: Signals, *, proven: bool = False
) -> dict[str, Scalar] | None:
    """Return the numbers that say that all evaluations agree to the last digit, or None.

    ``proven``: something else says so, too, so that two that do not agree by chance are enough.
    """
    least = LEAST_PROVEN if proven else LEAST_EVALUATIONS
    if len(points) < least or len({point.loss for point in points}) > 1:
        return None
    first, last = points[0], points[-1]
    passed = 0.0 if first.epoch is None or last.epoch is None else last.epoch - first.epoch
    # Within a warm-up four digits may agree; two agree by chance.
    late = passed >= PASSES or signals.share_of_plan(last.step - first.step) >= LEAST_SHARE
    if not late or is_short(first.loss):
        return None
    losses: dict[str, Scalar] = {"eval_loss_first": first.loss, "eval_loss_last": last.loss}
    return {
        **losses,
        "eval_spread": 0.0,
        "equal_evaluations": len(points),
        "evaluations": len(points),
    }


def fell(points: Sequence[Evaluation], signals: Signals, *, surely: bool = False) -> bool:
    """Return whether the evaluations show learning: a fall that a still series does not have.

    ``surely``: nor one that only scatters.
    """
    if len(points) < 2:
        return False
    share = signals.share_of_plan(points[-1].step - points[0].step)
    losses = [point.loss for point in points]
    fall = losses[0] - min(losses)
    if surely and len(losses) >= NOISY_EVALUATIONS and fall <= NOISE * cautious_noise(losses):
        return False
    return fall > FELL * share * abs(losses[0])
