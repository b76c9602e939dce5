"""Budget: the GPU time that a search may use, and whether a trial still fits into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import inf, isfinite

from sftdiag.errors import ConfigError
from sftdiag.searches.outcome import Outcome, Trial
from sftdiag.searches.settings import EPOCHS
from sftdiag.values import Value

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Budget(Value):
    """Seconds of GPU time over all trials of a search; of time, where there is no GPU.

    What a trial will take is told by those that are done, by their epochs: one that would take more
    than is left does not begin. The first one always does.
    """

    seconds: float = inf

    @property
    def ends(self) -> bool:
        """Whether there is a budget at all."""
        return isfinite(self.seconds)

    def left(self, done: Iterable[Trial]) -> float:
        """Return the seconds that are left."""
        return self.seconds - sum(cost_of(trial.outcome) for trial in done)

    def fits(
        self,
        settings: Mapping[str, float],
        done: Iterable[Trial],
        running: Iterable[Mapping[str, float]] = (),
    ) -> bool:
        """Return whether a trial fits into what is left, besides those under way."""
        known = list(done)
        epochs = settings[EPOCHS] + sum(other[EPOCHS] for other in running)
        return epochs * epoch_of(known) <= self.left(known)

    def trials(self, epochs: float, done: Iterable[Trial]) -> int:
        """Return how many trials of so many epochs still fit."""
        known = list(done)
        each = epochs * epoch_of(known)
        return int(max(0.0, self.left(known)) / each) if each and self.ends else 0


def cost_of(outcome: Outcome) -> float:
    """Return the seconds of GPU time that a trial took; of time, without a GPU."""
    return outcome.seconds * max(1, outcome.devices)


def epoch_of(done: Iterable[Trial]) -> float:
    """Return what an epoch costs, by what was trained of each trial; 0 before the first."""
    known = [trial for trial in done if trial.outcome.steps]
    epochs = sum(t.settings[EPOCHS] * t.outcome.last_step / t.outcome.steps for t in known)
    return sum(cost_of(trial.outcome) for trial in known) / epochs if epochs else 0.0


def budget_of(given: str | float | None) -> Budget:
    """Return the budget of seconds, or of a time such as ``"2h"``; without end where none is given.

    Raises:
        ConfigError: it is none.

    Examples:
        >>> budget_of("1.5h").seconds, budget_of(90).seconds
        (5400.0, 90.0)
    """
    if given is None:
        return Budget()
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(given))
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if isinstance(given, bool) or seconds <= 0:
        told = f"budget is a time above 0 such as 90m, 12h, 2d, or seconds; got {given!r}"
        raise ConfigError(told).keyed("search_budget", given=given)
    return Budget(seconds)
