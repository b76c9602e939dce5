"""What a setting costs beside another: of losses within the noise the cheaper choice is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sftdiag.searches.outcome import Trial
from sftdiag.searches.settings import ACCUMULATION, EPOCHS, RANK, RATE

Cost = Callable[[Trial], float]


def of(step: str, now: Mapping[str, float]) -> Cost:
    """Return what a trial's choice of a step costs, beside the settings that are kept now.

    Rates cost the same, so the lowest loss is kept. So do batches made by accumulation, but a
    change is a change.
    """
    if step in (EPOCHS, RANK):
        return lambda trial: trial.settings[step]
    if step == RATE:
        return lambda trial: 0.0
    return lambda trial: float(trial.settings[ACCUMULATION] != now[ACCUMULATION])
