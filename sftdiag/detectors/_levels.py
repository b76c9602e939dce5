"""Levels that a mean cross entropy has, and those that it cannot have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from sftdiag.context import RunContext
from sftdiag.detectors.train_eval_scale_mismatch import FIRST_EPOCH, LEAST_RATIO, ratio_of
from sftdiag.findings import Detection, Scalar
from sftdiag.observations import Skip
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.noise import is_short, median
from sftdiag.signals.stream import Signals
from sftdiag.signals.trend import fall_of
from sftdiag.vocabularies import LARGEST_VOCABULARY, PUBLISHED_VOCABULARIES, SMALLEST_VOCABULARY

ABOVE = 1.05
"""Loss over ln V beyond a blind guess: untrained models start at 1.00 to 1.02."""

FAR = 3.0
"""Loss over ln V that no model is wrong enough for: labels of another text reach 1.3, padding that
is trained 1.7 on public logs; beyond 3 every one of them was a sum or a broken model."""

BLIND = 0.005
"""How near to ln V a blind guess is: logits of an untrained model are small, not 0, and cost that
much more."""

NOISY = 0.03
"""The same of a single row, where the rows' mean is that near: labelled guesses spread by 1 %."""

WIDER = 1 + 3 * NOISY
"""The highest loss over the lowest beyond which no level is near all of them, as that would take
(1 + NOISY) / (1 - NOISY) at the most."""

UNTRAINED = (0.99, 1.02)
"""Mean of the rows over a known ln V: untrained models start at 1.00 to 1.02."""

GUESS_FALL = 0.02
"""Fall of the rows so far, as a share, from which a model may be learning from scratch; that of
five rows with 1 % noise comes out as large once in 30 runs."""

NEAR_BLIND = 0.9
"""Share of ln V from which a first loss and its entropy are those of a blind guess, and below which
it is left: TRL's first row is a mean over ten steps, in which random weights learn a tenth."""

TOY_SHARE = 0.5
"""Share of ln of the smallest vocabulary in use below which a vocabulary is a toy's, made on the
spot: random weights are meant there."""

RESTING = 6.0
"""Loss, in nats, above which no pretrained model rests on text that it can read: the highest
labelled run that must stay silent ends at 5.0. It is half of ln V for 150,000 tokens."""

VOCABULARY = 2.0
"""Times ln V that a pretrained model gives the vocabulary's tokens on average: 1.8 measured on
SmolLM2 with all but a tenth of the label spread. Label smoothing adds its share of it."""

FROM_A_GUESS = 5.0
"""The same of a model that began as a blind guess over a language model's vocabulary and rests: how
often each token stands in text costs some 5.5 to 8 nats (a rule of thumb, not measured here). No
labelled run that must stay silent began so and ended above 4.2."""

AT_REST = 0.014
"""Fall over the last half up to which such a model is not on its way down. Chosen on the generated
runs from random weights that end as high: they fall by 1.58 % and more. No real one is labelled."""

RESTED = 0.5
"""Share of the plan after which a loss that never was at a usual level rests."""

RESTS = 0.05
"""Fall over the last half of the log, as a share, above which a loss is still on its way down."""

JUMPED = 1.15
"""Largest of the first losses over the very first from which the height is a jump's (SFT109)."""

NEAR_ZERO = 0.002
"""Loss, in nats, below which unseen text cannot be: one token in 500 that costs one nat is more.
Labelled runs there are classes told from a constant text, leaked rows and trivial targets."""

EASY = 0.9
"""Share of easy answers from which the mean may be near 0: the others' 10 % must cost 50 times as
much then, 0.02 nats a token, which is no text either."""

MEASURED = 31
"""Last evaluations of which the middle one says how many times too large a loss is: beside the
first the train loss still falls fast, and its mean lies above what is evaluated."""

SAME_ROWS = 8
"""Rows in a row with the same loss to four decimals or more: two of one level differ in the
third digit."""

SAME_LEAST = 0.01
"""Below it four decimals are two digits."""

SAME_LEAP = 0.1
"""Share of it by which the loss before must have been another: a mean over the steps so far comes
to its last level smoothly."""

USUAL_SHARE = 0.5
"""Share of ln V below which a loss is a usual one: pretrained models have 1 to 4 nats."""


FIRST_LOSS = 0.1
"""First loss from which a loss near 0 is a fall: below it the log begins there."""


def chance(signals: Signals) -> float:
    """Return the loss of a blind guess over the known vocabulary, else over the largest in use."""
    return signals.context.chance_loss or log(LARGEST_VOCABULARY)


def smoothed(signals: Signals) -> float:
    """Return the nats that label smoothing adds to a usual loss; 0 without it, or where unknown."""
    return (signals.context.label_smoothing or 0.0) * VOCABULARY * chance(signals)


def least_loss(smoothing: float, vocabulary: int) -> float:
    """Return the loss, in nats, of a model that gives each token just what its label does.

    Targets that are spread over the vocabulary have an entropy, and no cross entropy is below it.

    Examples:
        >>> round(least_loss(0.1, 49_152), 2), round(least_loss(0.9, 49_152), 2)
        (1.41, 10.05)
    """
    others = smoothing / vocabulary
    right = 1.0 - smoothing + others
    return -right * log(right) - (vocabulary - 1) * others * log(others)


def is_sum(signals: Signals) -> bool:
    """Return whether the loss is, or may well be, a sum over labels by design: of no usual level.

    By the model's configuration; else by error rates beside the evaluations, of runs in which such
    sums are common. What is below 0, near 0 or NaN is none of a sum either.
    """
    return bool(signals.context.summed_loss) or signals.error_rates


def left_below(signals: Signals, told: Detection) -> float | None:
    """Return the loss below which a run has left the level that was told; None where none is."""
    if told.variant == "blind":
        return NEAR_BLIND * float(told.evidence["chance_loss"] or 0.0)
    levels = {"far": chance(signals), "above": chance(signals), "resting": RESTING}
    usual = levels.get(told.variant)
    return usual + smoothed(signals) if usual is not None else None


def is_toy(chance_loss: float) -> bool:
    """Return whether a blind guess costs so little that the model was made on the spot."""
    return chance_loss < TOY_SHARE * log(SMALLEST_VOCABULARY)


class Bounds:
    """The bounds of a run's levels, computed when what is known of it changes.

    Attributes:
        lowest: the lowest level that is spoken of here: a loss far below it is at none.
        first: the first loss above which it is a note.
        high: a lowest loss below it is neither above ln V nor one that rests.
    """

    def __init__(self) -> None:
        self._of: RunContext | None = None
        self.lowest = self.first = self.high = 0.0

    def of(self, signals: Signals) -> Bounds:
        """Return the bounds of this run."""
        if self._of is not signals.context:
            self._of, self.first = signals.context, ABOVE * chance(signals)
            self.high = min(RESTING, self.first)
            self.lowest = min(RESTING, chance(signals), *map(log, PUBLISHED_VOCABULARIES))
        return self


def is_easy(signals: Signals) -> bool:
    """Return whether the rows' answers can cost next to nothing, as the checks saw."""
    return signals.easy_answers is not None and signals.easy_answers >= EASY


def near_zero(signals: Signals, rows: int) -> bool:
    """Return whether the last rows are near 0 within the first epoch, and fell there."""
    epoch, first = signals.epoch, signals.first_loss
    if epoch is None or epoch > FIRST_EPOCH or first is None or first < FIRST_LOSS:
        return False
    if signals.recent and signals.recent[-1][1] >= NEAR_ZERO:
        return False
    losses = [loss for _, loss in signals.recent]
    last = losses[-rows:]
    # Rows of a small batch may cost next to nothing by chance; most of the last ones may not.
    return len(last) == rows and min(last) >= 0.0 and max((*last, median(losses))) < NEAR_ZERO


def blind_guess(signals: Signals, low: float, high: float) -> float | None:
    """Return ln V where all losses between two are a blind guess over V tokens, or None.

    V is the known vocabulary; without one, any published one.
    """
    known = signals.context.chance_loss
    for level in (known,) if known else map(log, PUBLISHED_VOCABULARIES):
        if (1 - BLIND) * level <= low and high <= (1 + BLIND) * level:
            return level
    return None


def noisy_guess(signals: Signals, low: float, high: float) -> float | None:
    """Return ln V where all losses scatter around a blind guess over V tokens without a fall.

    Not of a toy's vocabulary: random weights are meant there. Where V is not known, the mean must
    be at a published one, the fall none, and no sum over accumulation steps the reason.
    """
    known, losses, most_fall = signals.context.chance_loss, signals.block_losses, GUESS_FALL
    if known and known < NEAR_BLIND * log(SMALLEST_VOCABULARY):
        return None
    least, most = UNTRAINED
    mean = sum(losses) / len(losses)
    if known:
        near = known if least * known <= mean <= most * known else None
    else:
        near = min(map(log, PUBLISHED_VOCABULARIES), key=lambda level: abs(level - mean))
        summed = (signals.context.gradient_accumulation_steps or 1) > 1
        if summed or abs(mean - near) > BLIND * near:
            return None
        most_fall = BLIND
    if near is None or low < (1 - NOISY) * near or high > (1 + NOISY) * near:
        return None
    seen = fall_of(losses)
    return None if seen.lower > 0.0 or seen.fall > most_fall * near else near


def rests(signals: Signals, lowest: float) -> bool:
    """Return whether a loss that began high never came down, and was no blind guess."""
    if lowest < RESTING + smoothed(signals) or signals.share_of_plan(signals.last_step) < RESTED:
        return False
    first = signals.first_loss or 0.0
    from_scratch = blind_guess(signals, first, first) is not None
    if from_scratch or max(signals.opening, default=0.0) > JUMPED * first:
        return False
    half = fall_of(signals.block_losses[len(signals.blocks) // 2 :])
    # Random weights begin at ln V at the most and fall for long; contradicted ones above it.
    still = half.lower > 0.0 and first <= ABOVE * log(LARGEST_VOCABULARY)
    return not still and half.fall <= RESTS * lowest


def began_blind(signals: Signals, first: float) -> bool:
    """Return whether a first loss is that of random weights over a language model's vocabulary."""
    known, least = signals.context.chance_loss, log(SMALLEST_VOCABULARY)
    if known is not None and known < NEAR_BLIND * least:
        return False
    return NEAR_BLIND * (known or least) <= first <= ABOVE * (known or log(LARGEST_VOCABULARY))


def stands_high(signals: Signals) -> Skip | None:
    """Return that a loss that fell is still where no model that reads its rows is, or None."""
    losses, first = signals.block_losses, signals.first_loss
    if signals.objective is not None or signals.context.custom_loss or not losses or not first:
        return None
    if is_sum(signals):
        return None
    last = median(losses[-max(1, len(losses) // 3) :])
    # How far above every blind guess it began says nothing of what was learned.
    begin = min(first, log(LARGEST_VOCABULARY))
    added = smoothed(signals)
    half = fall_of(losses[len(losses) // 2 :])
    rests = half.lower <= 0.0 or half.fall <= AT_REST * last
    counts = FROM_A_GUESS + added <= last < RESTING + added
    if counts and rests and began_blind(signals, first):
        return Skip("stands_at_counts", {"first": first, "loss": last, "usual": FROM_A_GUESS})
    if last < RESTING + added or last < NEAR_BLIND * begin:
        return None
    return Skip("stands_high", {"first": first, "loss": last, "usual": RESTING})


def ends_lost(signals: Signals) -> Skip | None:
    """Return that the newest loss is NaN or infinite, which a second one would make sure, or None.

    Of the train rows or the evaluations. Where :mod:`sftdiag.detectors.non_finite` has spoken, or
    :mod:`sftdiag.detectors.eval_not_finite`, that says more.
    """
    if signals.objective is not None:
        return None
    if signals.row_lost:
        return Skip("ends_lost", {"step": signals.last_train_step})
    if (step := signals.evaluation_lost) is not None:
        return Skip("eval_ends_lost", {"step": step})
    return None


def repeats_itself(signals: Signals) -> Skip | None:
    """Return that the newest losses are the same to the last digit after others, or None.

    A loss that is the same for every batch depends on none: the weights behind it are lost, or what
    is logged is no longer their loss. Losses of memorised rows, and rounded ones, agree by chance.
    """
    losses = [loss for _, loss in signals.recent]
    last = losses[-SAME_ROWS:]
    if signals.objective is not None or len(last) < SAME_ROWS or len(set(last)) > 1:
        return None
    loss, before = last[0], next((other for other in reversed(losses) if other != last[0]), None)
    if before is None:
        # Where all are the same, that is the first of them, if it is not among them.
        before = signals.first_loss
    moved = before is not None and abs(before - loss) > SAME_LEAP * abs(loss)
    rounded = all(map(is_short, losses))
    if not moved or rounded or loss < SAME_LEAST:
        return None
    return Skip("repeats_itself", {"loss": loss, "rows": SAME_ROWS, "before": before})


def span(signals: Signals) -> int:
    """Return the steps that the newest row is the mean over."""
    before = signals.previous_train_step
    return signals.last_train_step - before if before is not None else 1


def climbs(signals: Signals) -> bool:
    """Return whether the learning rate is still climbing, or has only just reached its peak."""
    firsts = signals.columns.first_steps
    recent = firsts[-2] if len(firsts) > 1 else signals.last_step
    rises = signals.learning_rate_rises or signals.peak_learning_rate_step > recent
    return signals.learning_rate is not None and rises


def is_beside(point: Evaluation) -> bool:
    """Return whether a usual evaluation loss stands beside a train loss above any blind guess."""
    train, ratio, high = point.train_loss, ratio_of(point), log(LARGEST_VOCABULARY)
    return (
        train is not None
        and ratio is not None
        and ratio >= LEAST_RATIO
        and train > high > point.loss
    )


def measured(told: Mapping[str, Scalar], points: Sequence[Evaluation]) -> Mapping[str, Scalar]:
    """Return what is told of a sum, its multiple measured at the middle one of the evaluations."""
    known = [point for point in points[-MEASURED:] if is_beside(point)]
    if not known or told["times"] == told["accumulation"]:
        return told
    middle = sorted(known, key=lambda point: ratio_of(point) or 0.0)[len(known) // 2]
    numbers = {"loss": middle.train_loss, "eval_loss": middle.loss, "times": ratio_of(middle)}
    return {**told, **numbers}
