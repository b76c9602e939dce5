"""Evaluation: a loss on held-out rows, with the run's state when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt

from sftdiag.signals.noise import median, noise_scale, robust_spread
from sftdiag.values import Value


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
    spread = robust_spread([row - middle for row in later])
    noise = max(noise_scale(rows), spread) / sqrt(len(later))
    return sum(later) / len(later), noise if isfinite(noise) else 0.0
