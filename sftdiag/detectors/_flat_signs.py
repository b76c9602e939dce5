"""The signs that a flat loss is no floor, each with the number that says so."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from sftdiag.context import SGD
from sftdiag.detectors import _still_evaluations
from sftdiag.detectors._clipped_steps import ADAM, most_fall, most_fall_at
from sftdiag.detectors._levels import least_loss, smoothed
from sftdiag.detectors._warmup_line import ends_in_warmup
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.findings import Scalar
from sftdiag.ranges import LOWEST_LEARNING_RATE
from sftdiag.signals.blocks import Block
from sftdiag.signals.noise import mean
from sftdiag.signals.stream import Signals
from sftdiag.vocabularies import LARGEST_VOCABULARY, SMALLEST_VOCABULARY

CHANCE_SHARE = 0.5
"""A pretrained model starts near 1 to 3 nats; half of ln V is 5 or more for every vocabulary of a
published language model."""

WEAK_GRAD_NORM = 0.5
"""A mean loss of several nats with a smaller gradient norm than this is stuck where it is: 0.04
to 0.3 where only a norm layer was trained, 2 to 15 on healthy runs at such a loss and on labelled
flat ones, more where the loss is summed."""

LOW_ACCURACY = 0.3
"""Token accuracy below which a loss is no floor: healthy fine-tunes in the corpus end above 0.33,
flat ones sit at 0.00 to 0.24."""

FLOOR_ACCURACY = 0.15
"""Token accuracy that no model at its floor has, whatever its entropy."""

LOSS_OVER_ENTROPY = 1.2
"""A model at its floor is calibrated: its loss equals its entropy within 10 % on healthy logs."""

FLOOR_LIKELY_ACCURACY = 0.75
"""Token accuracy from which little is left to learn: healthy fine-tunes end at 0.33 to 0.95."""

FLOOR_LIKELY_LOSS = 0.7
"""Loss, in nats, that pretrained models have on text they know well, before any step."""

HUGE_GRAD_NORM = 1e5
"""A mean loss's gradient norm is 0.01 to 300 in 99 % of public logs; 1e7 comes with a broken
scale or normalisation."""

FEW_PARAMETERS = 1.5e-6
"""Share of the parameters that is trained, below which a loss that hardly moves has nothing to move
it: of 63 fine-tunes of one 3B model those of 2e-8 to 1.1e-6 fell by 0 to 3.4 % and answered none
of the test's questions, those of 1.9e-6 and 9e-6 fell by 19 % and 42 %."""

CLIPPED_FALL = 0.05
"""Share of the loss up to which a fall that the clipped steps of the whole plan cannot exceed is
none to speak of: 3 % of a run that learned nothing, 15 to 33 times the loss, of which the last
tenth is real, in those that learned."""

SETTLING = frozenset({"tiny_learning_rate", "zero_grad_norm", "most_fall"})
"""Signs that settle it by themselves: the curve has only not to contradict them."""

SCORES_SHARE = 0.5
"""Share of the plan that the same scores must span, or guesses come after: many a classifier
answers alike for its first third."""

ZERO_GRADIENT_ROWS = 5
"""Rows from the first on, each with a gradient norm of exactly 0, that say alone that nothing is
trained: on healthy public logs it is 0 for at most three rows, and never in the first ones."""

AT_ONCE = (*ADAM, SGD)
"""How transformers' names of optimizers begin that step when the gradient's norm is known."""

CORROBORATING = frozenset({"known_vocabulary", "low_token_accuracy", "weak_grad_norm"})
"""Signs one of which a loss that fell first needs besides its level: sums look like high means."""


UNFINISHED = "unfinished_warmup"
"""The sign of a plan that ends in its warm-up: the steps were smaller than those asked for."""


def may_be_a_guess(signals: Signals, level: float) -> bool:
    """Return whether a level, or any lower one, may be that of a blind guess."""
    return level >= CHANCE_SHARE * (signals.context.chance_loss or log(SMALLEST_VOCABULARY))


def tiny_rate(signals: Signals) -> float | None:
    """Return the highest rate where it is below every range; None where it was not seen."""
    rate = signals.peak_learning_rate
    if rate is None or rate >= LOWEST_LEARNING_RATE:
        return None
    # A log that begins in mid-run, at its highest rate, says nothing of the rates before it.
    unseen = signals.begins_in_mid_run and signals.peak_learning_rate_step <= (
        signals.first_step or 0
    )
    return None if unseen else rate


def _of_smoothing(signals: Signals, half: float) -> float:
    """Return what label smoothing adds to a loss; 0 where it takes any loss to half a guess."""
    share, vocabulary = signals.context.label_smoothing, signals.context.vocab_size
    if share and vocabulary and 0.0 < share < 1.0 and least_loss(share, vocabulary) >= half:
        return 0.0
    return smoothed(signals)


def signs_of_a_fault(signals: Signals, level: float, blocks: Sequence[Block]) -> dict[str, Scalar]:
    """Return the signs that there was something to learn, each with its number."""
    signs: dict[str, Scalar] = {}
    chance = signals.context.chance_loss
    points = signals.main_evaluations
    lowest = min(level, points[-1].loss) if points else level
    half = CHANCE_SHARE * (chance or log(SMALLEST_VOCABULARY))
    if lowest - _of_smoothing(signals, half) >= half:
        if chance is not None and level <= MOST * chance:
            signs["chance_loss"] = signs["known_vocabulary"] = chance
        elif chance is None and level <= log(LARGEST_VOCABULARY):
            signs["chance_loss"] = None
    if (rate := tiny_rate(signals)) is not None:
        signs["tiny_learning_rate"] = rate
    if ends_in_warmup(signals):
        signs[UNFINISHED] = signals.progress
    share = signals.context.trainable_share
    if share is not None and share < FEW_PARAMETERS:
        signs["few_parameters"] = share
    known, fall = signals.context, most_fall(signals)
    by_rate = most_fall_at(signals) if known.optim == SGD else None
    if by_rate is not None and by_rate < CLIPPED_FALL * level:
        # Without the clip the steps were too short, too.
        rate = max(known.learning_rate or 0.0, signals.peak_learning_rate or 0.0)
        signs |= {"most_fall": min(by_rate, fall or by_rate), "rate_of_sgd": rate}
    elif fall is not None and fall < CLIPPED_FALL * level:
        signs |= {"most_fall": fall, "max_grad_norm": known.max_grad_norm}
        if known.optim != SGD:
            signs["adam_epsilon"] = known.adam_epsilon
    grad_norm = norm_of(signals, blocks)
    if grad_norm is not None:
        if grad_norm == 0.0:
            if zero_is_proof(signals):
                signs["zero_grad_norm"] = grad_norm
        elif grad_norm > HUGE_GRAD_NORM:
            signs["huge_grad_norm"] = grad_norm
        elif grad_norm < WEAK_GRAD_NORM and "chance_loss" in signs:
            signs["weak_grad_norm"] = grad_norm
    accuracy = mean(block.mean_token_accuracy for block in blocks)
    entropy = mean(block.entropy for block in blocks)
    surprised = entropy is not None and level > LOSS_OVER_ENTROPY * entropy
    if accuracy is not None and accuracy < (LOW_ACCURACY if surprised else FLOOR_ACCURACY):
        signs["low_token_accuracy"] = accuracy
    return signs


def zero_is_proof(signals: Signals) -> bool:
    """Return whether a gradient norm of 0 is a proof that no step was made.

    Some optimizers step layer by layer and leave a norm of 0 behind while they learn. Of one that
    is known to step all at once it is no step; so it is where evaluations agree to the last digit,
    or all rows do.
    """
    if (signals.context.optim or "").startswith(AT_ONCE):
        return True
    # They save the memory of all weights' gradients: an adapter has few.
    if signals.context.method in ("lora", "qlora"):
        return True
    losses = signals.block_losses
    if len(losses) >= ZERO_GRADIENT_ROWS and len({*losses}) == 1:
        return True
    return _still_evaluations.equal(signals.main_evaluations, signals, proven=True) is not None


def norm_of(signals: Signals, blocks: Sequence[Block]) -> float | None:
    """Return the mean gradient norm; None where none is logged, or the gradient is gone by then."""
    norm = mean(block.grad_norm for block in blocks)
    return None if norm == 0.0 and signals.context.steps_in_backward else norm


def same_scores(signals: Signals) -> dict[str, Scalar]:
    """Return how many evaluations gave the same scores, and the highest; {} where they moved."""
    scores = signals.scores
    return scores.same() if signals.share_of_plan(scores.span) >= SCORES_SHARE else {}


def signs_of_scores(signals: Signals) -> dict[str, Scalar]:
    """Return what the scores of evaluations say against learning; {} where they say nothing."""
    signs = same_scores(signals)
    if signals.share_of_plan(signals.last_step) >= SCORES_SHARE:
        signs |= signals.scores.guesses()
    return signs


def knows_its_rows(level: float, blocks: Sequence[Block]) -> bool:
    """Return whether a flat loss is as likely a floor: most tokens predicted, and calibrated."""
    accuracy = mean(block.mean_token_accuracy for block in blocks)
    entropy = mean(block.entropy for block in blocks)
    if accuracy is None or accuracy < FLOOR_LIKELY_ACCURACY:
        return False
    return entropy is None or level <= LOSS_OVER_ENTROPY * entropy
