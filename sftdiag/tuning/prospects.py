"""Prospects: whether a trial that is under way can still become the best of its search."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Curve = Sequence[tuple[float, float]]
"""(share of the trial's own schedule that is done, evaluation loss), in order."""

HOPELESS = "cannot-become-best"
"""The cause of a trial that was ended for its curve, where others have the code of a finding."""

EARLIEST = 0.25
"""Share of the schedule before which nothing is judged: warm-up, and what comes right after it."""

SAFETY = 2.0
"""Times the largest fall that any finished trial still had ahead of it at this share. A trial at a
higher rate stands higher in mid-schedule and falls further as its rate decays; twice the largest
fall seen keeps it. Held by property tests of this rule, not priced over many searches."""


def at_share(curve: Curve, share: float) -> float | None:
    """Return a curve's loss at a share, between two evaluations by a straight line.

    Examples:
        >>> at_share([(0.5, 2.0), (1.0, 1.0)], 0.75)
        1.5
        >>> at_share([(0.5, 2.0)], 0.25) is None
        True
    """
    for (before, high), (after, low) in pairwise(curve):
        if before <= share <= after and after > before:
            return high + (low - high) * (share - before) / (after - before)
    return next((loss for place, loss in curve if place == share), None)


def cannot_become_best(curve: Curve, finished: Sequence[Curve], best: float) -> bool:
    """Return whether a curve has no way to the best loss that a finished trial reached.

    Its last loss, less twice the largest of what any finished trial still fell from that share on
    and what its own last fall comes to over the rest, is above the best. Without a finished trial
    that was evaluated as early, nothing is said.

    Args:
        curve: of the trial under way.
        finished: of trials that ran to the end of their schedules.
        best: the lowest loss at such an end.

    Examples:
        >>> done = [[(0.25, 2.0), (0.5, 1.5), (1.0, 1.2)]]
        >>> cannot_become_best([(0.25, 4.0), (0.5, 3.9)], done, 1.2)
        True
        >>> cannot_become_best([(0.25, 4.0), (0.5, 2.5)], done, 1.2)
        False
    """
    if not curve:
        return False
    share, loss = curve[-1]
    if not EARLIEST <= share < 1.0:
        return False
    falls = [now - done[-1][1] for done in finished if (now := at_share(done, share)) is not None]
    if not falls:
        return False
    if len(curve) > 1 and share > curve[-2][0]:
        pace = (curve[-2][1] - loss) / (share - curve[-2][0])
        falls.append(pace * (1.0 - share))
    return loss - SAFETY * max(0.0, *falls) > best
