"""Checks: one thing to look at before step 1 each. ``CHECKS`` is the one table of them."""

from __future__ import annotations

from sftdiag.checks._shares import undetected
from sftdiag.checks.base import Check, Inputs
from sftdiag.checks.learning_rate_range import LearningRateRangeCheck
from sftdiag.checks.no_supervised_token import NoSupervisedTokenCheck
from sftdiag.findings import RowsSeen
from sftdiag.observations import Observation, Outcome, Skip

CHECKS: tuple[Check, ...] = (
    NoSupervisedTokenCheck(),
    LearningRateRangeCheck(),
)
"""In the order of their codes."""


def run_checks(inputs: Inputs) -> Outcome:
    """Return what every check says; a check that fails is skipped with the error's name."""
    observations: list[Observation] = []
    ran: list[str] = []
    skipped: dict[str, Skip] = {}
    for check in CHECKS:
        try:
            found = check.look(inputs)
        except Exception as error:
            found = Skip("failed", {"error": type(error).__name__})
        if isinstance(found, Skip):
            skipped[check.name] = found
        else:
            ran.append(check.name)
            observations += (o.replace(step=inputs.step) for o in found)
    rows = (RowsSeen(s.name, len(s.samples), s.total, undetected(s)) for s in inputs.splits)
    return Outcome(tuple(observations), tuple(ran), skipped, tuple(rows))


__all__ = ["CHECKS", "Check", "Inputs", "run_checks"]
