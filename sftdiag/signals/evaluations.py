"""Evaluation: a loss on held-out rows, with the run's state when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, sqrt

from sftdiag.signals.noise import median, noise_scale, robust_spread
from sftdiag.values import Value

FEW_ROWS = 3
"""Rows up to which a mean that falls from row to row is taken for a descent: of so few, spread is
what the rows differ by because they fall, and it hid that a loss had fallen by a third."""


class Evaluation(Value):
    """One evaluation: its loss, and the run's state when it was made; ``number`` counts from 1.

    ``train_loss`` is the mean of the last train rows before it (the later half of those since the
    evaluation before, at most half of :data:`~sftdiag.signals.stream.RECENT`), or None when there
    were none; ``train_noise`` is the noise of that mean.
    """

    number: int
    step: int
    epoch: float | None
    loss: float
    train_loss: float | None
    train_noise: float
    learning_rate: float | None


def train_level(rows: Sequence[float], since: int) -> tuple[float | None, float]:
    """Return the mean of the later half of the last rows, and that mean's noise.

    Args:
        rows: the last train losses, oldest first, whose noise is taken.
        since: how many of them came since the evaluation before; none gives no mean.

    The noise is 0 where too few rows show any.
    """
    if since <= 0:
        return None, 0.0
    later = rows[-((since + 1) // 2) :]
    # A swing is smooth, so second differences alone do not see it.
    middle = median(later)
    descends = len(later) <= FEW_ROWS and all(a > b for a, b in pairwise(later))
    spread = 0.0 if descends else robust_spread([row - middle for row in later])
    noise = max(noise_scale(rows), spread) / sqrt(len(later))
    return sum(later) / len(later), noise if isfinite(noise) else 0.0
