"""What a setting costs beside another: of losses within the noise the cheaper choice is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sftdiag.searches.outcome import Trial
from sftdiag.searches.settings import EPOCHS, RANK

Cost = Callable[[Trial], float]


def of(step: str, now: Mapping[str, float]) -> Cost:
    """Return what a trial's choice of a step costs, beside the settings that are kept now.

    Rates cost the same, and so do batches made by accumulation: the lowest loss is kept.
    """
    if step in (EPOCHS, RANK):
        return lambda trial: trial.settings[step]
    return lambda trial: 0.0
