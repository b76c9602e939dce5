"""SFT201, guide row 5 and curve 2: the evaluation loss keeps rising."""

from __future__ import annotations

from sftdiag.detectors._eval_rise import MIN_RISE
from sftdiag.detectors.eval_loss_rising import FEW_EVALUATIONS
from sftdiag.findings import Severity
from sftdiag.guide import empty_answers
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.checkpoints import sound_one
from sftdiag.guide.epochs import steps_at_epoch_edges, whole_epochs
from sftdiag.guide.from_checks import check, observed
from sftdiag.guide.row_order import blocks_of_rows, evaluation_is_of_other_blocks
from sftdiag.ranges import epoch_band

REPEATED_EPOCHS = 1.0
"""Before the first epoch is over no row was seen twice, so no row can have been memorised."""

FAR_FIRST_EVAL = 1.3
"""First evaluation loss over the train loss beside it from which the two sets differ: healthy
corpus runs lie between 0.7 and 1.2 at their first evaluation."""

MOSTLY = 0.5
"""Share of rows that are copies, from which a row is seen twice in the first epoch on average."""

COPIES = observed("duplicate-rows", "default", Weight.SUPPORTS)

NEAR_FIRST_EVAL = 1.1
"""Up to here the sets look alike."""


def train_keeps_falling(case: Case) -> Evidence | None:
    """The train loss since the best evaluation."""
    before, after = case.number("train_loss_at_min"), case.number("train_loss_last")
    if before is None or after is None:
        return None if case.signals.train_rows else Evidence(Weight.MISSING, "train_unseen")
    values = {"before": before, "after": after}
    return Evidence(Weight.SUPPORTS, "train_falls", values)


def rows_repeated(case: Case) -> Evidence | None:
    """Whether the model had seen its rows more than once when the loss rose."""
    epoch = case.number("epoch")
    if epoch is None:
        return Evidence(Weight.MISSING, "epoch_unknown")
    early = _rise_in_first_epoch(case)
    if early is not None:
        # Copies are seen again before the epoch is over.
        copies = mostly_copies(case)
        return None if copies else Evidence(Weight.AGAINST, "risen_before_repeats", early)
    return Evidence(Weight.SUPPORTS, "rows_repeated", {"epoch": epoch})


def epochs_for_the_data(case: Case) -> Evidence | None:
    """The planned epochs against the guide's for so many samples."""
    samples, planned = case.context.train_samples, case.context.num_train_epochs
    if samples is None or planned is None:
        return None
    usual = epoch_band(samples).epochs
    if planned <= usual.high:
        return None
    best = _best_epochs(case)
    values = {"samples": samples, "planned": planned, "low": usual.low, "high": usual.high}
    # One advice: where the run's own evaluations ask for another number, it says why.
    if best is None or best in usual:
        return Evidence(Weight.SUPPORTS, "more_epochs_than_data", values)
    return Evidence(Weight.SUPPORTS, "best_beside_the_guide", {**values, "best": best})


def _best_epochs(case: Case) -> int | None:
    """Return the number of epochs that ends at the best evaluation, or behind it."""
    epoch = case.number("eval_loss_min_epoch")
    return None if epoch is None else whole_epochs(epoch)


def risen_in_first_epoch(case: Case) -> Evidence | None:
    """A rise before any row was repeated speaks for another distribution."""
    early = _rise_in_first_epoch(case)
    if early is None or mostly_copies(case):
        return None
    return Evidence(Weight.SUPPORTS, "risen_before_repeats", early)


def order_in_first_epoch(case: Case) -> Evidence | None:
    """Rows that stand in blocks of a kind: only before all of them were seen."""
    epoch = case.number("epoch")
    if epoch is None:
        return Evidence(Weight.MISSING, "epoch_unknown")
    if _rise_in_first_epoch(case) is not None:
        return blocks_of_rows(case)
    if epoch > REPEATED_EPOCHS:
        return Evidence(Weight.RULES_OUT, "all_rows_seen", {"epoch": epoch})
    return None


def sorted_in_first_epoch(case: Case) -> Evidence | None:
    """Whether the check saw that the rows are sorted by kind, for a rise before any repeat."""
    return None if _rise_in_first_epoch(case) is None else evaluation_is_of_other_blocks(case)


def mostly_copies(case: Case) -> bool:
    """Return whether the checks saw that most training rows are copies of earlier ones."""
    seen = COPIES(case)
    share = seen.check.evidence.get("share") if seen is not None and seen.check else None
    return isinstance(share, float) and share >= MOSTLY


def _rise_in_first_epoch(case: Case) -> dict[str, float] | None:
    """Return the rise up to the last evaluation of the first epoch, or None when there was none."""
    best = case.number("eval_loss_min")
    points = case.signals.evaluations.get(case.detection.series, [])
    later = [
        point
        for point in points
        if point.step > case.detection.onset_step
        and point.epoch is not None
        and point.epoch <= REPEATED_EPOCHS
    ]
    if best is None or not later or later[-1].loss <= best + MIN_RISE * abs(best):
        return None
    return {"best": best, "loss": later[-1].loss, "epoch": later[-1].epoch or 0.0}


def gap_at_first_evaluation(case: Case) -> Evidence | None:
    """The first evaluation against the train loss beside it, before anything was memorised."""
    points = case.signals.evaluations.get(case.detection.series, [])
    if not points or not points[0].train_loss:
        return None
    ratio = points[0].loss / points[0].train_loss
    values = {
        "eval_loss": points[0].loss,
        "train_loss": points[0].train_loss,
        "step": points[0].step,
    }
    early = points[0].epoch is None or points[0].epoch <= REPEATED_EPOCHS
    if ratio > FAR_FIRST_EVAL and early:
        return Evidence(Weight.SUPPORTS, "gap_at_first", values)
    # A rise before any repeat outweighs that both losses began alike.
    if ratio < NEAR_FIRST_EVAL and _rise_in_first_epoch(case) is None:
        return Evidence(Weight.AGAINST, "no_gap_at_first", values)
    return None


def train_less(case: Case) -> FixText:
    """Stop at the epoch or the step of the best evaluation."""
    epoch, step = case.number("eval_loss_min_epoch"), case.detection.onset_step
    planned = case.context.num_train_epochs
    values = {"step": step, "epoch": epoch}
    if not step:
        return FixText("train_less")
    best = _best_epochs(case)
    if best is None or planned is None or best >= planned:
        return FixText("stop_at_step", values)
    changes = {"SFTConfig.num_train_epochs": (planned, best)}
    return FixText("fewer_epochs", {**values, "planned": planned, "best": best}, changes)


def take_the_best(case: Case) -> FixText | None:
    """Use what was saved at the best evaluation, or last before it."""
    known = sound_one(case, case.detection.onset_step)
    return None if known is None else FixText("take_checkpoint", {"checkpoint": known})


def stop_early(case: Case) -> FixText:
    """Early stopping on this series, patient enough for its noise and quick enough for its plan."""
    series = case.detection.series if case.detection.series != "loss" else "eval_loss"
    evaluations = case.number("evaluations") or 0
    patience = 1 if evaluations < FEW_EVALUATIONS else 3
    return FixText("early_stopping", {"series": series, "patience": patience})


SYMPTOM = Symptom(
    "SFT201",
    "eval-loss-rising",
    Severity.ERROR,
    (
        *empty_answers.CAUSES,
        CauseRule(
            "overfitting",
            (
                train_keeps_falling,
                rows_repeated,
                steps_at_epoch_edges,
                epochs_for_the_data,
                check("duplicate-rows", clean=None),
            ),
            (train_less, take_the_best, stop_early),
        ),
        CauseRule(
            "eval-distribution",
            (
                gap_at_first_evaluation,
                risen_in_first_epoch,
                check("eval-distribution-shift", on_evaluation=True),
                check("template-mismatch", clean=None, on_evaluation=True),
            ),
            (fix("check_split"),),
        ),
        CauseRule("data-order", (order_in_first_epoch, sorted_in_first_epoch), (fix("shuffle"),)),
    ),
)
