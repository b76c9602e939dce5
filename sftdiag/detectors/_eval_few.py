"""What a rise of the evaluation loss is while there are too few evaluations to know their noise."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.detectors._eval_rise import STANDS, Fall, Rise, highest_since, stands_out
from sftdiag.detectors._eval_wasted import COLLAPSE
from sftdiag.findings import Severity

FEW_RISE = 0.10
"""The bar while the noise is unknown: healthy series of up to 5 evaluations in the corpus never
rose 10 % twice in a row, overfitting ones by 12 to 30 %. Where the train loss has collapsed (see
``_eval_wasted.COLLAPSE``) the bar of every series, and an error: no noise takes that down."""

FEW_FALL = 0.20
"""Fall of the train loss since the best with which FEW_RISE_LEARNED is enough, one evaluation
sooner."""

FEW_RISE_LEARNED = 0.05
"""None of 14,010 generated healthy runs rose so twice in their first 5 evaluations while the train
loss fell by FEW_FALL; 6 of 15 labelled runs that overfit have after 3. Beside a train loss that has
collapsed it is the bar of the first of two evaluations, where the last is at FEW_RISE."""

FEW_GREAT = 0.25
"""Rise of two evaluations for which nothing is waited: no healthy series of the corpus has half."""

FEW_CLIMB = (0.02, 0.15)
"""Rise of the two evaluations since the best that climb, where the train loss fell by COLLAPSE: the
first is beyond what evaluations on the same rows differ by in a run that stands, and rows that are
learned by heart take the second up several times as far. Healthy runs of three evaluations fall by
half at the most while their evaluation loss stands, within 3 % of its best."""

FEW_STEEP = 0.20
"""Rise of the last evaluation for which FEW_RISE_LEARNED is enough of the one before, however sure
the fall of the train loss is: two in a row that climb so far are no noise of evaluations on the
same rows. No healthy series of the corpus has half of it."""

FEW_SINCE_FIRST = 4
"""More than so many, of which all others lie FEW_RISE_LEARNED above the first while the train loss
falls: a healthy run's first is its worst, so it is the best of five by so much for one reason."""


def severity_of_few(
    losses: Sequence[float], rise: Rise, learned: Fall, missing: int, *, collapsed: bool
) -> Severity | None:
    """Return what a rise is while little is known of the noise, or None.

    Args:
        losses: the series so far.
        rise: the rise.
        learned: the fall of the train loss since the best.
        missing: evaluations that a plan of this length still waits for.
        collapsed: rows are learned by heart while enough of the plan is left: nothing is waited
            for, and what is beyond FEW_RISE is an error.
    """
    clear = learned.sure and learned.share >= FEW_FALL
    highest = highest_since(losses, rise.index, rise.level)
    if not learned.share or rise.recent < STANDS * highest:
        return None
    if collapsed and _by_heart(losses, rise):
        return Severity.ERROR
    if stands_out(losses):
        return Severity.WARNING
    if rise.recent > FEW_GREAT * abs(rise.level):
        return Severity.WARNING
    if missing > clear and not collapsed:
        return None
    bar = FEW_RISE_LEARNED if clear else FEW_RISE
    if rise.recent > bar * abs(rise.level):
        return Severity.WARNING
    size, last = abs(rise.level), losses[-1] - rise.level
    if (
        losses[-1] > losses[-2]
        and last > FEW_STEEP * size
        and rise.recent > FEW_RISE_LEARNED * size
    ):
        return Severity.WARNING
    by_heart = clear and learned.share >= COLLAPSE
    first, second = (share * abs(rise.level) for share in FEW_CLIMB)
    if by_heart and rise.recent > first and losses[-1] - rise.level > second:
        return Severity.WARNING
    least = (1 + FEW_RISE_LEARNED) * losses[0]
    since_first = len(losses) > FEW_SINCE_FIRST and min(losses[1:]) > least > 0.0
    return Severity.WARNING if since_first else None


def _by_heart(losses: Sequence[float], rise: Rise) -> bool:
    """Return whether two evaluations are up by so much that only rows learned by heart do it."""
    size, last = abs(rise.level), losses[-1] - rise.level
    return rise.recent > FEW_RISE_LEARNED * size and last > FEW_RISE * size
