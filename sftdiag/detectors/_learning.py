"""Whether the log shows learning, or surely none: by losses, evaluations and accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import inf, sqrt
from operator import mul

from sftdiag.detectors import _still_evaluations
from sftdiag.detectors._flat_signs import SETTLING, UNFINISHED, zero_is_proof
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.findings import Scalar
from sftdiag.observations import Skip
from sftdiag.ranges import beyond_any, bound_of_any
from sftdiag.signals.blocks import Block, Closing
from sftdiag.signals.climb import SURELY_BELOW
from sftdiag.signals.noise import MOVED_ACCURACY, mean, noise_scale
from sftdiag.signals.stream import Signals
from sftdiag.signals.trend import BETWEEN_THIRDS, LEAST_VALUES, Fall, fall_of, student_99

FLAT = 0.014
"""The fall over a whole plan that no labelled run which learns is below, as a share of the loss."""

TOLERANCE = 0.02
"""Upper bound of a fall that still counts as none, as a share of the loss, over a whole plan."""

TOLERANCE_SIGNED = 0.05
"""The same, of what was seen, where a sign nearly settles it: labelled runs with one fell by 0 to
3.7 %."""

TOLERANCE_WARMED = 0.03
"""The same where the plan ends in its warm-up: most steps were far below the rate asked for, and
the lowest fall of a labelled run that learns at its own rate is 1.8 %."""

NEAR_CHANCE = 0.8
"""Share of the known ln V from which the loss is a blind guess and no floor, so that
TOLERANCE_SIGNED holds: a model that learns anything leaves it at once."""

DUE_STEPS = 100
"""Steps after which the guide's smoke test asks for a clear fall; before, as much of it."""

PLAIN_SHARE = 0.2
"""The same without a sign: the labelled runs' warm-ups are over by then."""

OPENED = 3.0
"""Errors by which the first tenth may lie above the rest of a flat loss: one that fell at once has
learned."""

UNSEEN = 0.2
"""Fall, as a share of the loss, that too noisy rows may hide beside a gradient norm of 0: of runs
that learn with such a norm in every row the first rows fall so far, or further."""

UNSEEN_SHARE = 0.5
"""Share of the plan that must be done until rows that do not fall stand beside norms of 0, where
the optimizer is not known. Chosen among 0.2, 0.5 and 0.9 on 717 healthy logs (550 of them
generated) written with norms of 0: five rows at any time alarmed a third of them, this 5 %, where
20 of 33 begin at their floor. No real log of such an optimizer was at hand."""

DOUBTED = 2.0
"""Errors that a loss must have fallen beside norms of 0: by chance one run in a hundred falls by
one, and of weights that do not move that is all there is."""

MOVED_EVAL = 0.03
"""A fall of the evaluation loss, as a share of it, that shows learning whatever the signs."""


UNROUNDED = 1e-9
"""Share of a sum of squares above which a difference of such sums is more than its rounding."""


def may_be_within(tolerance: float, losses: Sequence[float]) -> bool:
    """Return False when the fall alone, whatever its error, is too large: cheap, and mostly so."""
    third = max(1, len(losses) // 3)
    fall = (sum(losses[:third], 0.0) - sum(losses[-third:], 0.0)) / third
    bound = tolerance * abs(sum(losses)) / len(losses)
    return -2 * bound <= fall <= bound


def surely_moves(closing: Closing, tolerance: float) -> bool:
    """Return whether the losses have moved, or may have, by more than a share after each block.

    ``Fall.within`` is not true of any of them: the fall alone says so, or its least error.
    """
    sums, share = closing.sums, tolerance / SURELY_BELOW
    squares: Squares | None = None
    for count in range(max(LEAST_VALUES, closing.before + 1), len(sums)):
        third, total = count // 3, sums[count]
        fall = (sums[third] - total + sums[count - third]) / third
        bound = share * total / count
        if fall > bound or fall < -2 * bound:
            continue
        if squares is None:
            squares = Squares(closing)
        if squares.may_be_within(count, tolerance):
            return False
    return True


class Squares:
    """What the sums of squares and products of losses say of the error of their fall."""

    def __init__(self, closing: Closing) -> None:
        losses = closing.losses
        self._sums = closing.sums
        self._squares = [*accumulate(map(mul, losses, losses), initial=0.0)]
        self._products = [*accumulate(map(mul, losses, range(len(losses))), initial=0.0)]

    def may_be_within(self, count: int, tolerance: float) -> bool:
        """Return whether ``fall_of`` the first so many losses may be within a share of them."""
        total = self._sums[count]
        spread = count * (count * count - 1) / 12
        slope = (self._products[count] - (count - 1) / 2 * total) / spread
        squares = self._squares[count] - total * total / count - slope * slope * spread
        # What is left of such sums may be their rounding; then nothing is said.
        known = squares > UNROUNDED * self._squares[count]
        way = BETWEEN_THIRDS * count * SURELY_BELOW
        error = 0.0
        if known:
            error = way * student_99(count - 2) * sqrt(squares / (count - 2) / spread)
        bound: float = tolerance * total / count / SURELY_BELOW
        fall: float = -slope * way
        return fall + error < bound and fall - error > -2 * bound


def opened_higher(losses: Sequence[float]) -> bool:
    """Return whether the first tenth lies surely above the rest: it fell at once."""
    count = max(1, len(losses) // 10)
    rest = losses[count:]
    if len(rest) < LEAST_VALUES:
        return False
    level = sum(rest) / len(rest)
    above = sum(losses[:count]) / count - level
    return above > max(OPENED * noise_scale(rest) / sqrt(count), FLAT * abs(level))


def learns(signals: Signals, blocks: Sequence[Block], *, plain: bool, surely: bool = False) -> bool:
    """Return whether another signal shows learning over these blocks although the loss is flat.

    ``plain``: nothing else says that there was something to learn, so a little learning counts.
    ``surely``: but no scatter of the evaluations.
    """
    third = max(1, len(blocks) // 3)
    before = mean(block.mean_token_accuracy for block in blocks[:third])
    after = mean(block.mean_token_accuracy for block in blocks[-third:])
    if before is not None and after is not None and after - before > MOVED_ACCURACY:
        return True
    points = [point for point in signals.main_evaluations if point.step >= blocks[0].first_step]
    if len(points) < 2:
        return False
    if plain:
        return _still_evaluations.fell(points, signals, surely=surely)
    return points[-1].loss < (1 - MOVED_EVAL) * points[0].loss


def has_learned(signals: Signals) -> bool:
    """Return whether the log shows that something was learned: a sure fall of a loss.

    The train loss along its line or from its first tenth, an evaluation loss, or token accuracy.
    """
    if signals.objective is not None:
        return False
    losses = signals.block_losses
    if not losses:
        return not _guesses(signals) and _still_evaluations.fell(
            signals.main_evaluations, signals, surely=True
        )
    whole = fall_of(losses)
    # Beside a loss of 0 a norm of 0 is what it should be.
    doubted = min(losses) > 0.0 and only_zero_norms(signals)
    if doubted:
        if whole.fall > DOUBTED * whole.error and _falls(signals, whole):
            return True
    elif opened_higher(losses) or _falls(signals, whole):
        return True
    if 1 < len(losses) < LEAST_VALUES and losses[-1] > losses[0]:
        # Beside few train rows that end higher, evaluations may only scatter.
        return False
    return learns(signals, signals.blocks, plain=not _guesses(signals), surely=True)


def _guesses(signals: Signals) -> bool:
    """Return whether a classifier guesses still, or again, and its loss has hardly moved."""
    points, guess = signals.main_evaluations, signals.scores.guesses()
    if not guess and not signals.scores.same():
        return False
    # To come down to what a guess costs is to learn the classes' shares at the most.
    most = guess.get("guess_loss", inf)
    return not points or points[-1].loss >= (1 - MOVED_EVAL) * min(points[0].loss, most)


def _falls(signals: Signals, seen: Fall) -> bool:
    """Return whether a loss surely falls, and by what is more than none over the whole plan."""
    share = signals.share_of_plan(signals.last_step)
    return seen.lower > 0.0 and seen.fall > FLAT * share * abs(seen.level)


def is_without_gradient(signals: Signals, seen: Fall) -> bool:
    """Return whether a loss agrees with a gradient of 0: it does not fall, as far as rows tell.

    Where the norm is a proof (:func:`zero_is_proof`) rows have only not to fall.
    """
    level = abs(seen.level)
    if seen.lower > TOLERANCE * level:
        return False
    if zero_is_proof(signals):
        return True
    late = signals.share_of_plan(signals.last_step) >= UNSEEN_SHARE
    hides_little = seen.agrees(TOLERANCE_SIGNED) and seen.upper <= UNSEEN * level
    return late and hides_little and not opened_higher(signals.block_losses)


def only_zero_norms(signals: Signals) -> bool:
    """Return whether every norm is exactly 0, of an optimizer that is not known to leave none."""
    norms = signals.columns.grad_norms
    return bool(norms) and not (any(norms) or None in norms or signals.context.steps_in_backward)


def is_flat(signals: Signals, whole: Fall, signs: Mapping[str, Scalar]) -> bool:
    """Return whether the loss is flat by what the signs ask for."""
    if whole.level <= 0.0:
        return False
    if "zero_grad_norm" in signs:
        return is_without_gradient(signals, whole)
    if not SETTLING.isdisjoint(signs):
        return whole.lower <= TOLERANCE * abs(whole.level) and whole.agrees(TOLERANCE_SIGNED)
    if "huge_grad_norm" in signs:
        return whole.within(TOLERANCE_SIGNED)
    if signs:
        if UNFINISHED in signs and whole.within(TOLERANCE_WARMED):
            return True
        wide = "few_parameters" in signs or _near_chance(signals, whole.level)
        due = min(1.0, signals.last_step / DUE_STEPS)
        return whole.within((TOLERANCE_SIGNED if wide else TOLERANCE) * due)
    share = signals.share_of_plan(signals.last_step)
    if not whole.within(TOLERANCE * share):
        return False
    slow = abs(whole.fall) <= FLAT * share * abs(whole.level)
    return slow and share >= PLAIN_SHARE and not opened_higher(signals.block_losses)


def _near_chance(signals: Signals, level: float) -> bool:
    """Return whether the loss is about what a blind guess over the known vocabulary costs."""
    chance = signals.context.chance_loss
    return chance is not None and NEAR_CHANCE * chance <= level <= MOST * chance


def none_right(signals: Signals) -> Skip | None:
    """Return that no evaluation found one right answer, whatever the losses do, or None."""
    seen = signals.scores.none_right() if signals.objective is None else {}
    return Skip("none_right", seen) if seen else None


def scores_fell(signals: Signals) -> Skip | None:
    """Return that every score of the evaluations has clearly fallen, whatever the losses do."""
    if signals.objective is not None:
        return None
    seen = signals.score_fall.fell(signals.context.eval_samples)
    return Skip("scores_fell", seen) if seen else None


def rate_beyond_any(signals: Signals) -> Skip | None:
    """Return that a loss which falls says too little where the rate is beyond every range."""
    known, rate = signals.context, signals.peak_learning_rate
    if rate is None or not beyond_any(rate, known.method, adaptive=known.adaptive):
        return None
    key = "rate_beyond_any" if known.adaptive else "rate_beyond_any_sgd"
    bound = bound_of_any(adaptive=known.adaptive)
    return Skip(key, {"rate": rate, "bound": bound, "lower": rate / 10})
