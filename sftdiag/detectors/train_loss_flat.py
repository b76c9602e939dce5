"""SFT101 train-loss-flat: nothing is learned, though the rows are trained on.

Seen in four ways, each by its own proof:

- the train loss: an equivalence test along the best line. Flat means that even at the upper bound
  of its pace the loss would fall by less than 2 % over the whole plan, never that no fall could be
  shown. Over 337 labelled public runs every run that moved by less than 1.4 % between its first
  and last third is labelled sick, and none that must stay silent moved by less than 1.8 %: so that
  is a warning by itself, and an error with a sign that there was something to learn: the level of a
  blind guess, a rate below every range, a gradient of 0, weak or huge, a low token accuracy, or
  steps that are clipped to so little (of SGD; of Adam beside its epsilon) that the whole plan
  cannot take the loss down. Such steps, and those that are too short by the rate (of Adam below
  every range, of plain SGD by the gradient's norm), are an error from the fifth row on, whatever
  the warm-up: what the plan cannot do need not be waited for;
- the evaluations, made on the same rows each time: all of them within 0.34 %, or 0.85 % where their
  scores are the same to the last digit, or those of guesses;
- the learning rate: exactly 0 in every row after the first (error), or with more than a tenth of
  the plan left (warning);
- losses that repeat to the last digit from epoch to epoch (error).

A loss that first fell and then stuck at half of ln V is a warning, when a known vocabulary, the
token accuracy or a weak gradient agrees: a summed loss looks the same.

Cannot tell a run that begins at its floor from one that learns nothing where no evaluation says
more: of a low loss it tells both readings, and where most tokens are predicted and the loss is near
the entropy it does not judge, and says why. Says nothing in reinforcement-learning and
preference logs (but of their rate), while the learning rate climbs, or when another signal shows
learning.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 60):
...     row = {"step": step, "loss": 11.3 + 0.01 * (step % 3), "learning_rate": 2e-5}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
10 SFT101 error 1

References:
    Schuirmann (1987), the two one-sided tests procedure for equivalence;
    Karpathy, "A recipe for training neural networks" (check the loss at the start against ln V).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from sftdiag.context import SGD
from sftdiag.detectors import _still_evaluations
from sftdiag.detectors._clipped_steps import SCHEDULES, may_be_short, most_fall, most_fall_at
from sftdiag.detectors._flat_signs import (
    CLIPPED_FALL,
    CORROBORATING,
    FLOOR_LIKELY_LOSS,
    UNFINISHED,
    ZERO_GRADIENT_ROWS,
    knows_its_rows,
    may_be_a_guess,
    norm_of,
    same_scores,
    signs_of_a_fault,
    signs_of_scores,
    tiny_rate,
    zero_is_proof,
)
from sftdiag.detectors._learning import (
    TOLERANCE,
    TOLERANCE_SIGNED,
    has_learned,
    is_flat,
    is_without_gradient,
    learns,
    may_be_within,
    only_zero_norms,
    opened_higher,
    surely_moves,
)
from sftdiag.detectors._repeats import Repeats
from sftdiag.detectors._still_rate import StillRate
from sftdiag.detectors._warmup_line import ends_in_warmup
from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.ranges import LOWEST_LEARNING_RATE
from sftdiag.records import EVAL, TRAIN, LogRecord
from sftdiag.signals.blocks import Block, Closing
from sftdiag.signals.noise import mean, noise_scale
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals
from sftdiag.signals.trend import LEAST_VALUES, Fall, fall_of

SETTLED_BLOCKS = 20
"""Of the last so many block means half must lie behind the learning rate's peak."""

STUCK_BLOCKS = 20
"""Block means of a loss that fell first and then stuck: it has to stand for as long as it fell."""

ROWS_OF_GRADIENTS = 5
"""Rows whose largest gradient norm is taken: a batch's holds its noise beside the mean gradient's,
which alone takes the loss down."""

MIN_SHARE = 0.1
"""Share of the planned steps that must be done, where the plan is known and a sign is there."""

STUCK = "stuck"
"""The variant of a loss that fell first."""

CLIPPED, DAMPED = "clipped", "damped"
TINY, TINY_OF_SGD = "tiny_steps", "tiny_steps_of_sgd"
"""The variants of steps that cannot take the loss down: of SGD by its clip, of Adam by its epsilon,
and of either by the rate."""

SCORES = "scores"
"""The variant of evaluations' scores that do not change by a digit."""

WARMED = "warmed"
"""The variant of a loss that hardly moved in a run that was all warm-up."""

ZERO_NORMS = "zero_norms"
"""The variant of gradient norms of 0 that an optimizer which is not known may have left."""

PLAIN = frozenset({"unmoved", "either", "evaluations", WARMED, ZERO_NORMS})
"""Variants that are a warning while no sign is there."""

RATE = frozenset({"rate_zero", "rate_ended"})
"""Variants that the learning rate shows."""


class TrainLossFlatDetector(Detector):
    """Fires once for each stretch in which nothing is learned."""

    code: ClassVar[str] = "SFT101"
    name: ClassVar[str] = "train-loss-flat"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._rate = StillRate()
        self._repeats = Repeats()
        self._floor = False

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        repeats = still = False
        if record.kind == TRAIN:
            still = self._rate.take(record)
            repeats = self._repeats.take(record)
        active = self._active
        if active is not None and active.variant in RATE:
            return () if self._rate.at_zero else self._end(record.step)
        if still and active is None and (found := self._still(signals, record)):
            return found
        if signals.objective is not None or not signals.train_rows:
            return ()
        if active is None and repeats:
            return self._fire(signals, record.step, signals.blocks, {"repeats": True}, "repeats")
        if not signals.block_closed and record.kind != EVAL:
            return ()
        if active is None and (
            found := self._untrained(signals, record.step) or self._unmovable(signals, record.step)
        ):
            return found
        if _is_early(signals):
            return ()
        if self._wait(signals) is not None:
            return self._unmoved(signals, record.step) if active is None else ()
        return self._follow(signals, record.step) if active else self._look(signals, record.step)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        of_rate = self._active is not None and self._active.variant in RATE
        if of_rate or not self._rate.passes(rows) or not self._repeats.passes(rows):
            return False
        return all(self._closes(signals, rows, closing) for closing in rows.closings)

    def _closes(self, signals: Signals, rows: Rows, closing: Closing) -> bool:
        """Return whether no block that closes shows anything, however the signs may be."""
        if self._active is not None:
            return self._active.variant == STUCK
        rate = signals.peak_learning_rate
        if rate is None and rows.have("learning_rate"):
            return False
        tiny = tiny_rate(signals) is not None
        # Rows that log a norm have one above 0, so that the mean has, and not all of them are 0.
        norms = closing.columns.grad_norms
        still = norms[:1] if rows.have("grad_norm") else norms
        tiny = tiny or may_be_short(signals.context)
        if self._floor or tiny or 0.0 in still:
            return False
        plan = signals.max_steps
        if plan and rows.steps[-1] < MIN_SHARE * plan:
            return True
        points, most = signals.main_evaluations, _still_evaluations.FELL
        if _still_evaluations.still(points, signals, most) is not None:
            return False
        # Where the highest of all is no guess, no half of them is.
        if may_be_a_guess(signals, max(closing.losses)) and any(
            self._may_be_late(signals, closing.losses[:count]) for count in closing.counts
        ):
            return False
        return surely_moves(closing, TOLERANCE_SIGNED)

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        self._rate.take_all(rows)
        self._repeats.take_all(rows)

    def _still(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look for a learning rate of exactly 0."""
        if self._rate.never_rose(signals):
            return self._fire(signals, record.step, signals.blocks, {}, "rate_zero")
        if not self._rate.ended(signals):
            return ()
        since = self._rate.since
        blocks = [block for block in signals.blocks if block.last_step >= since]
        numbers = {"rate_zero_since": since, "max_steps": signals.max_steps}
        return self._fire(signals, record.step, blocks or signals.blocks, numbers, "rate_ended")

    def _untrained(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a gradient of exactly 0 from the first row on; no warm-up explains that."""
        if not self._has_no_gradient(signals) or not zero_is_proof(signals):
            return ()
        return self._fire(signals, step, signals.blocks, {"zero_grad_norm": 0.0})

    def _doubted(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for the same where an optimizer that steps within backward may have left it.

        Evaluations tell one from the other, so that rows count only where none is made.
        """
        blocks = signals.blocks
        if signals.main_evaluations or not self._has_no_gradient(signals):
            return ()
        if learns(signals, blocks, plain=True):
            return ()
        return self._fire(signals, step, blocks, {}, ZERO_NORMS)

    def _has_no_gradient(self, signals: Signals) -> bool:
        losses, norms = signals.block_losses, signals.columns.grad_norms
        if len(losses) < ZERO_GRADIENT_ROWS or norms[0] != 0.0 or min(losses) <= 0.0:
            return False
        return only_zero_norms(signals) and is_without_gradient(signals, fall_of(losses))

    def _unmovable(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for steps with which the whole plan cannot take the loss down; none is waited for.

        To first order, with the largest gradient so far: weights that hardly move keep theirs.
        """
        losses = signals.block_losses
        if len(losses) < ROWS_OF_GRADIENTS or unusable_train_loss(signals) is not None:
            return ()
        fall, tiny = most_fall(signals), _asks_for_tiny_steps(signals)
        if fall is None and (tiny is not None or signals.context.optim == SGD):
            fall = most_fall_at(signals)
        if fall is None:
            return ()
        level = sum(losses) / len(losses)
        if not fall < CLIPPED_FALL * level:
            return ()
        whole, points = fall_of(losses), signals.main_evaluations
        learned = bool(points) and points[-1].loss < (1 - TOLERANCE) * points[0].loss
        if learned or whole.lower > TOLERANCE * level:
            return ()
        blocks = signals.blocks
        signs = signs_of_a_fault(signals, level, blocks)
        if "most_fall" in signs:
            return self._fire(signals, step, blocks, signs, _proven(signs))
        numbers = {**signs, "tiny_learning_rate": tiny, "most_fall": fall}
        return self._fire(signals, step, blocks, numbers, TINY)

    def _look(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look at the whole loss, then at the evaluations, then at its last half."""
        losses = signals.block_losses
        if may_be_within(TOLERANCE_SIGNED, losses):
            whole, blocks = fall_of(losses), signals.blocks
            signs = signs_of_a_fault(signals, whole.level, blocks)
            if is_flat(signals, whole, signs) and not learns(signals, blocks, plain=not signs):
                signs |= same_scores(signals)
                self._floor = not signs and knows_its_rows(whole.level, blocks)
                # What was learned may lie before a log that begins in mid-run.
                if self._floor or (signals.begins_in_mid_run and not signs):
                    return ()
                if whole.level >= FLOOR_LIKELY_LOSS and only_zero_norms(signals):
                    signs["zero_grad_norm"] = 0.0
                plain = "either" if whole.level < FLOOR_LIKELY_LOSS else "unmoved"
                return self._fire(signals, step, blocks, signs, _proven(signs) if signs else plain)
            self._floor = False
        return (
            self._evaluated(signals, step)
            or self._late(signals, step)
            or self._doubted(signals, step)
        )

    def _evaluated(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for evaluations that stand still beside a train loss that may only be noisy."""
        losses = signals.block_losses
        points = signals.main_evaluations
        # Train rows since an evaluation may have learned what it did not know.
        fresh = bool(points) and points[-1].step == step
        of_scores = signs_of_scores(signals) if fresh else {}
        most = _still_evaluations.FELL if of_scores else _still_evaluations.STILL
        still = _still_evaluations.still(points, signals, most)
        # Evaluations that agree to the last digit need no train loss that is flat, too.
        if still is None or not (
            "equal_evaluations" in still or may_be_within(TOLERANCE_SIGNED, losses)
        ):
            return ()
        whole, blocks = fall_of(losses), signals.blocks
        moved = whole.lower > TOLERANCE * abs(whole.level) or opened_higher(losses)
        if moved or learns(signals, blocks, plain=True):
            return ()
        signs = signs_of_a_fault(signals, whole.level, blocks) | of_scores
        return self._fire(signals, step, blocks, {**signs, **still}, "evaluations")

    def _unmoved(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for evaluations that agree to the last digit, which need no train loss beside."""
        still = _still_evaluations.equal(signals.main_evaluations, signals)
        if still is None:
            return ()
        return self._fire(signals, step, signals.blocks, still, "evaluations")

    def _may_be_late(self, signals: Signals, losses: Sequence[float]) -> bool:
        """Return False where the last half of the losses surely says nothing: cheap, mostly so."""
        half = losses[len(losses) // 2 :]
        if len(half) < STUCK_BLOCKS or not may_be_a_guess(signals, max(half)):
            return False
        return may_be_within(TOLERANCE, half)

    def _late(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Look for a loss that has not moved for the last half of the log, fallen before or not."""
        if not self._may_be_late(signals, signals.block_losses):
            return ()
        middle = len(signals.blocks) // 2
        recent, half = fall_of(signals.block_losses[middle:]), signals.blocks[middle:]
        if not recent.within(TOLERANCE) or learns(signals, half, plain=False):
            return ()
        signs = signs_of_a_fault(signals, recent.level, half)
        if "chance_loss" not in signs or CORROBORATING.isdisjoint(signs):
            return ()
        losses = signals.block_losses
        fell = fall_of(losses).lower > TOLERANCE * abs(recent.level) or opened_higher(losses)
        return self._fire(signals, step, half, signs, STUCK if fell else "default")

    def _fire(
        self,
        signals: Signals,
        step: int,
        blocks: Sequence[Block],
        signs: Mapping[str, Scalar],
        variant: str = "default",
    ) -> Sequence[Detection]:
        losses = [block.loss for block in blocks]
        fall = fall_of(losses) if losses else Fall(signals.first_loss or 0.0, 0.0, 0.0)
        sure = isfinite(fall.error)
        warned = variant in {STUCK, "rate_ended"} or (variant in PLAIN and not _proof(signs))
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING if warned else Severity.ERROR,
            step,
            blocks[0].first_step if blocks else signals.first_step or 0,
            "loss",
            {
                "loss_first": signals.first_loss,
                "loss_last": losses[-1] if losses else None,
                "loss_level": fall.level,
                "fall": fall.fall,
                "fall_at_most": max(0.0, fall.upper if sure else fall.fall),
                "fall_share": fall.fall / abs(fall.level) if fall.level else 0.0,
                "fall_error": fall.error / abs(fall.level) if fall.level and sure else 0.0,
                "noise": noise_scale(losses) if len(losses) > LEAST_VALUES else None,
                "rows": signals.train_rows,
                "peak_learning_rate": signals.peak_learning_rate,
                "grad_norm": norm_of(signals, blocks),
                "entropy": mean(block.entropy for block in blocks),
                "mean_token_accuracy": mean(block.mean_token_accuracy for block in blocks),
                **signs,
            },
            variant=variant,
        )
        return (self._active,)

    def _follow(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Resolve when the loss has surely fallen after all; rise when a sign has come up."""
        assert self._active
        active = self._active
        if active.variant == STUCK:
            return ()
        losses = signals.block_losses
        level = abs(float(active.evidence["loss_level"] or 0.0))
        if active.variant in PLAIN and learns(signals, signals.blocks, plain=True):
            return self._end(step)
        if not may_be_within(TOLERANCE, losses) and fall_of(losses).lower >= 3 * TOLERANCE * level:
            return self._end(step)
        if active.variant not in PLAIN or active.severity is Severity.ERROR:
            return ()
        signs = signs_of_a_fault(signals, sum(losses) / len(losses), signals.blocks)
        signs |= same_scores(signals)
        if not _proof(signs):
            return ()
        self._active = active.replace(
            severity=Severity.ERROR, step=step, evidence={**active.evidence, **signs}
        )
        return (self._active,)

    def _wait(self, signals: Signals) -> Skip | None:
        """Return why the train loss cannot be judged yet."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        count = len(signals.block_losses)
        if count < LEAST_VALUES and not any(loss for _, loss in signals.recent):
            return Skip("zeros_so_far", {"rows": signals.train_rows})
        if count < LEAST_VALUES:
            numbers = {"points": count, "needed": LEAST_VALUES, "rows": signals.train_rows}
            return Skip("rows_void" if signals.went_back else "few_points", numbers)
        # What a rate below every range did not do while it climbed it will not do at its peak.
        looked_at = LEAST_VALUES if tiny_rate(signals) is not None else min(SETTLED_BLOCKS, count)
        settled = signals.columns.last_steps[count - looked_at // 2]
        rises = signals.learning_rate_rises or settled < signals.peak_learning_rate_step
        if rises and not ends_in_warmup(signals):
            return Skip("warmup")
        return Skip("early", {"share": MIN_SHARE}) if _is_early(signals) else None

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if self._active is not None:
            return None
        waiting, learned = self._wait(signals), has_learned(signals)
        if not learned and signals.objective is None and (guess := signals.scores.guesses()):
            return Skip("guesses", {**guess, "loss": signals.main_evaluations[-1].loss})
        if waiting is not None or learned:
            return waiting
        if signals.begins_in_mid_run:
            return Skip("no_first_records")
        if self._floor:
            return Skip("floor_or_nothing", {"loss": signals.block_losses[-1]})
        seen = fall_of(signals.block_losses)
        level = abs(seen.level) or 1.0
        numbers = {"fall": seen.fall / level, "error": seen.error / level}
        if signals.block_losses and only_zero_norms(signals):
            return Skip("zero_norms", {"rows": signals.train_rows, **numbers})
        rows = sum(block.count for block in signals.blocks)
        numbers |= {"rows": rows, "steps": signals.last_step}
        key = "flat_so_far"
        if seen.error > TOLERANCE * level:
            key = "unsure" if signals.last_step < 2 * max(1, rows) else "unsure_log_more"
        made = signals.evaluations_seen.get(signals.main_series or "", 0)
        return (
            Skip(f"{key}_evaluated", {**numbers, "evaluations": made})
            if made
            else Skip(key, numbers)
        )


def _is_early(signals: Signals) -> bool:
    return signals.progress is not None and signals.progress < MIN_SHARE


def _asks_for_tiny_steps(signals: Signals) -> float | None:
    """Return the rate asked for where it is below every range, and no schedule goes beyond it."""
    known = signals.context
    asked, seen = known.learning_rate, tiny_rate(signals)
    if asked is None or seen is None or known.lr_scheduler_type not in SCHEDULES:
        return None
    return asked if 0.0 < asked < LOWEST_LEARNING_RATE and seen <= asked else None


def _proven(signs: Mapping[str, Scalar]) -> str:
    """Return the variant of a loss that is flat by a sign."""
    if "rate_of_sgd" in signs:
        return TINY_OF_SGD
    if "most_fall" in signs:
        return DAMPED if "adam_epsilon" in signs else CLIPPED
    if signs.keys() <= {UNFINISHED}:
        return WARMED
    return SCORES if signs.keys() <= {"same_scores", "score"} else "default"


def _proof(signs: Mapping[str, Scalar]) -> bool:
    """Return whether a sign says that there was something to learn, or that no step was made."""
    about = (
        *("eval_loss_first", "eval_loss_last", "eval_spread", "evaluations"),
        *("classes", "guess_loss", "accuracy", UNFINISHED),
    )
    return any(name not in about for name in signs)
