"""The scores of evaluations: whether they have moved, and whether they are those of guesses."""

from __future__ import annotations

from math import log

from sftdiag.hints import Any
from sftdiag.records import LogRecord, is_score

SATURATED = 0.95
"""Score from which little is left to change."""

LEAST_EQUAL = 4
"""Evaluations with the same scores: the first may be made before any step counts."""

MOST_CLASSES = 20
"""Classes whose ln is looked for beside the accuracy of a guess: from here on the logarithms of
neighbours lie closer together than that."""

NONE_RIGHT = 3
"""Evaluations, all of those made, with every score at exactly 0, that say that no answer is right:
the first two may be made before anything was learned."""

GUESS_BELOW, GUESS_ABOVE = 0.04, 0.08
"""Distance from ln of a number of classes, as a share, of a classifier that guesses: a bias towards
the classes' shares lies below it, and above it confident guesses, which cost more."""

GUESS_ACCURACY = 1.2
"""Times one in so many classes up to which an accuracy is one of guesses: of a hundred rows and two
classes that is two standard deviations."""


class Scores:
    """Compares the scores of each evaluation with those of the first.

    Of hundreds of rows some answer changes as soon as the weights move, and of few rows it is the
    loss that has to be flat, too.
    """

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._newest: dict[str, float] = {}
        self._loss: float | None = None
        self._equal = self._made = 0
        self._right = False
        self._first_step = self._last_step = 0
        self._moved = False

    def take(self, record: LogRecord, loss: float | None) -> None:
        """Take in an evaluation, and the loss of its main series."""
        scores = {name: value for name, value in record.metrics.items() if is_score(name)}
        if not scores:
            return
        self._newest, self._loss = scores, loss
        self._made += 1
        self._right |= any(scores.values())
        if self._moved:
            return
        if not self._first:
            self._first, self._first_step = scores, record.step
        self._last_step = record.step
        self._moved = scores != self._first or max(scores.values()) >= SATURATED
        self._equal += 1

    @property
    def span(self) -> int:
        """Steps between the first evaluation and the last that were alike."""
        return self._last_step - self._first_step

    def same(self) -> dict[str, Any]:
        """Return how many evaluations gave the same scores, and the highest; {} where they moved.

        They say that a flat loss is no floor; how flat it has to be stays as it is without them.
        """
        if self._moved or self._equal < LEAST_EQUAL:
            return {}
        return {"same_scores": self._equal, "score": max(self._first.values())}

    def none_right(self) -> dict[str, Any]:
        """Return how many evaluations had every score at exactly 0; {} where one had not.

        Examples:
            >>> scores = Scores()
            >>> for step in (10, 20, 30):
            ...     scores.take(LogRecord("eval", step, None, {"eval_f1": 0.0}), 0.65)
            >>> scores.none_right()
            {'evaluations': 3, 'score': 'eval_f1'}
        """
        if self._right or self._made < NONE_RIGHT:
            return {}
        return {"evaluations": self._made, "score": min(self._newest)}

    def guesses(self) -> dict[str, Any]:
        """Return what says that the newest evaluation is of a classifier that guesses; {} if none.

        Examples:
            >>> scores = Scores()
            >>> scores.take(LogRecord("eval", 10, None, {"eval_accuracy": 0.52}), 0.69)
            >>> scores.guesses()["classes"]
            2
        """
        accuracy = self._newest.get("eval_accuracy", self._newest.get("eval_acc"))
        if accuracy is None or self._loss is None:
            return {}
        for classes in range(2, MOST_CLASSES + 1):
            guess = log(classes)
            near = (1 - GUESS_BELOW) * guess <= self._loss <= (1 + GUESS_ABOVE) * guess
            if near and accuracy * classes <= GUESS_ACCURACY:
                return {"classes": classes, "guess_loss": guess, "accuracy": accuracy}
        return {}
