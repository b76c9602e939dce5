"""Scores of evaluations that do not change by a digit: every row is answered alike."""

from __future__ import annotations

from sftdiag.findings import Scalar
from sftdiag.records import LogRecord
from sftdiag.signals.stream import Signals

SCORES = frozenset({"accuracy", "acc", "f1", "mcc", "precision", "recall", "correlation", "em"})
"""Last words of the names of scores that are shares of answers: of hundreds of rows some answer
changes as soon as the weights move, and of few rows it is the loss that has to be flat, too."""

SATURATED = 0.95
"""Score from which little is left to change."""

LEAST_EQUAL = 4
"""Evaluations with the same scores: the first may be made before any step counts."""

LEAST_SHARE = 0.5
"""Share of the plan that they must span: many a classifier answers alike for its first third."""


class StillScores:
    """Compares the scores of each evaluation with those of the first."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._equal = 0
        self._first_step = self._last_step = 0
        self._moved = False

    def take(self, record: LogRecord) -> None:
        """Take in an evaluation."""
        if self._moved:
            return
        scores = {
            name: value
            for name, value in record.metrics.items()
            if name.rsplit("_", 1)[-1].lower() in SCORES
        }
        if not scores:
            return
        if not self._first:
            self._first, self._first_step = scores, record.step
        self._last_step = record.step
        self._moved = scores != self._first or max(scores.values()) >= SATURATED
        self._equal += 1

    def signs(self, signals: Signals) -> dict[str, Scalar]:
        """Return how many evaluations gave the same scores, and the highest; {} where they moved.

        They say that a flat loss is no floor; how flat it has to be stays as it is without them.
        """
        if self._moved or self._equal < LEAST_EQUAL:
            return {}
        if signals.share_of_plan(self._last_step - self._first_step) < LEAST_SHARE:
            return {}
        return {"same_scores": self._equal, "score": max(self._first.values())}
