"""What a setting costs beside another: of losses within the noise the cheaper choice is kept."""

from __future__ import annotations

from collections.abc import Callable

from sftdiag.searches.outcome import Trial
from sftdiag.searches.settings import EPOCHS, RANK

Cost = Callable[[Trial], tuple[float, ...]]


def of(step: str) -> Cost:
    """Return what a trial's choice of a step costs, to be compared with another one's.

    Rates cost the same, and so do batches made by accumulation: the lowest loss is kept.
    """
    if step in (EPOCHS, RANK):
        return lambda trial: (trial.settings[step],)
    return lambda trial: ()


def whole(trial: Trial) -> tuple[float, ...]:
    """Return what a trial's settings cost: epochs in time, then the rank in memory."""
    return trial.settings[EPOCHS], trial.settings[RANK]
