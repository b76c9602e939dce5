"""Evidence on the order of the rows, shared by the symptoms that blocks of rows cause."""

from __future__ import annotations

from sftdiag.context import BY_LENGTH, SEQUENTIAL
from sftdiag.detectors._sudden_jump import DOUBLED, LOST, SUDDEN
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, Evidence, FixText, Weight
from sftdiag.guide.from_checks import check

STEADY = 2.0
"""Times the gradient norm before, below which it has not grown: steps that are too large double it
within a few records in every labelled run that diverged."""


EDGE = 0.05
"""Share of a pass by which a rise may be off where the other rows begin: the sample of rows tells
their share to 3 %, and batches and log rows lie across the edge."""


def rows_have_changed(case: Case) -> Evidence | None:
    """Whether a loss that jumped within one record did so without larger gradients."""
    return _jump(case, Weight.SUPPORTS, Weight.AGAINST)


def steps_have_grown(case: Case) -> Evidence | None:
    """The same, for a learning rate that is too high."""
    return _jump(case, Weight.AGAINST, Weight.SUPPORTS)


def _jump(case: Case, steady: Weight, grown: Weight) -> Evidence | None:
    before, after = case.number("grad_norm_before"), case.number("grad_norm_recent")
    if not _is_sudden(case) or not before or after is None:
        return None
    # Rows of another kind have larger gradients, too: where they begin is known.
    if other_rows_begin_here(case) is not None:
        return None
    values = {"before": before, "after": after}
    if after < STEADY * before:
        return Evidence(steady, "jump_without_gradient", values)
    return Evidence(grown, "jump_with_gradient", values)


def _is_sudden(case: Case) -> bool:
    return case.detection.variant in (SUDDEN, LOST, DOUBLED)


def rows_undo(case: Case) -> Evidence | None:
    """Rows that undo what was learned, without larger gradients: broken, not of another kind."""
    return _undone(case, Weight.SUPPORTS)


def other_rows_undo_nothing(case: Case) -> Evidence | None:
    """The same against rows that only stand in another order."""
    return _undone(case, Weight.AGAINST)


def _undone(case: Case, weight: Weight) -> Evidence | None:
    changed = rows_have_changed(case)
    if case.detection.variant != LOST or changed is None or changed.weight is Weight.AGAINST:
        return None
    return Evidence(weight, "rows_undo")


def leave_out_rows(case: Case) -> FixText | None:
    """Where a loss jumped within one record: from which row of the training set on, where known.

    The rows to print are those of the steps up to that in which it was seen, or to the set's end.
    """
    if not _is_sudden(case):
        return None
    context, step = case.context, case.detection.onset_step
    rows, batch = context.train_samples, context.effective_batch_size
    if context.sampler != SEQUENTIAL or not rows or not batch:
        return FixText("leave_out_rows", {"step": step + 1})
    first, seen = step * batch % rows, case.detection.step
    end = min(rows, first + (seen - step) * batch)
    values = {"step": step + 1, "seen": seen, "row": first, "end": end}
    return FixText("leave_out_rows_from", values)


def blocks_of_rows(case: Case) -> Evidence | None:
    """Whether rows of one kind can follow each other for many steps."""
    sampler = case.context.sampler
    values = {"sampler": sampler}
    # A stream has no sampler, whatever the argument says.
    if sampler is None or case.context.train_samples is None:
        return Evidence(Weight.MISSING, "order_unseen")
    if sampler == SEQUENTIAL:
        return Evidence(Weight.SUPPORTS, "order_sequential", values)
    return Evidence(Weight.RULES_OUT, "order_random", values)


_SORTED = check("rows-in-blocks")


def rows_sorted_by_kind(case: Case) -> Evidence | None:
    """What the check of sorted rows says, where they are taken as they stand.

    That it found nothing speaks of the last rows only: a jump within one record may come from a
    block in the middle.
    """
    if case.context.sampler != SEQUENTIAL:
        return None
    seen = _SORTED(case)
    if seen is not None and seen.weight is Weight.AGAINST and _is_sudden(case):
        return None
    return seen


def other_rows_begin_here(case: Case) -> Evidence | None:
    """Whether it began where, in a pass over sorted rows, the other kind begins: a proof."""
    seen, rows = rows_sorted_by_kind(case), case.context.train_samples
    batch = case.context.effective_batch_size
    share = seen.check.evidence.get("share") if seen is not None and seen.check else None
    if seen is None or not isinstance(share, float) or not rows or not batch:
        return None
    passed = (case.detection.onset_step * batch / rows) % 1.0
    return seen.replace(weight=Weight.CONFIRMS) if abs(passed + share - 1.0) <= EDGE else None


def sorted_rows_found(case: Case) -> Evidence | None:
    """The same where a few odd rows do it, too: only what was found says something."""
    seen = rows_sorted_by_kind(case)
    return seen if seen is not None and seen.check is not None else None


def evaluation_is_of_other_blocks(case: Case) -> Evidence | None:
    """The same for an evaluation loss that rises: proven where its rows are of the first kind."""
    seen = rows_sorted_by_kind(case)
    if seen is None or seen.check is None or seen.check.severity < Severity.ERROR:
        return seen
    return seen.replace(weight=Weight.CONFIRMS)


def swings_with_length(case: Case) -> Evidence | None:
    """The same for a loss that swings: batches grouped by length make it, too."""
    if case.context.sampler == BY_LENGTH:
        return Evidence(Weight.SUPPORTS, "order_by_length", {"sampler": BY_LENGTH})
    return blocks_of_rows(case)
