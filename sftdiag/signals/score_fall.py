"""Scores of evaluations that have fallen by more than their rows scatter, and stay there."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

from sftdiag.hints import Any
from sftdiag.records import LogRecord, is_score

ONE_SIDED = ("precision", "recall")
"""Last words of scores that a classifier gives up for one another as it learns."""

LEAST = 4
"""Evaluations, of which the newest two must have fallen: of one it may be chance."""

LEAST_FALL = 0.05
"""Fall, in shares of the answers, that is worth a word: less is what seeds differ by."""

ERRORS = 3.0
"""Standard errors of the difference of two shares of so many rows. The evaluations have the same
rows, so that this is rather too many."""

UNKNOWN_ROWS = 100
"""Rows of an evaluation that does not say how many it has: few, so that only great falls count."""

COMES_BACK = 2.0
"""Times the largest rise since the best evaluation that the fall must be: scatter comes back."""


class ScoreFall:
    """Follows each score, and says whether all of them have clearly fallen."""

    def __init__(self) -> None:
        self._steps: dict[str, list[int]] = {}
        self._values: dict[str, list[float]] = {}
        self._rows: dict[str, float] = {}

    def take(self, record: LogRecord) -> None:
        """Take in an evaluation."""
        for name, value in record.metrics.items():
            if not is_score(name) or name.endswith(ONE_SIDED):
                continue
            self._steps.setdefault(name, []).append(record.step)
            self._values.setdefault(name, []).append(value)
            prefix = name.rsplit("_", 1)[0]
            took = record.metrics.get(f"{prefix}_runtime", record.metrics.get("eval_runtime"))
            each = record.metrics.get(
                f"{prefix}_samples_per_second", record.metrics.get("eval_samples_per_second")
            )
            if took and each:
                self._rows[name] = took * each

    def fell(self, rows: int | None) -> dict[str, Any]:
        """Return the score that fell furthest, from where to where; {} where one has not fallen.

        Args:
            rows: rows of the evaluation set, where they are known.

        Examples:
            >>> scores = ScoreFall()
            >>> for step, accuracy in enumerate((0.6, 0.8, 0.82, 0.6, 0.58)):
            ...     scores.take(LogRecord("eval", step, None, {"eval_accuracy": accuracy}))
            >>> scores.fell(1000)["best_step"], scores.fell(50)
            (2, {})
        """
        found = []
        for name, values in self._values.items():
            of = self._rows.get(name, rows or UNKNOWN_ROWS)
            if len(values) < LEAST or not all(0.0 <= value <= 1.0 for value in values):
                return {}
            at = max(range(len(values) - 2), key=values.__getitem__)
            best, left = values[at], max(values[-2:])
            fall, middle = best - left, (best + left) / 2
            error = sqrt(2 * middle * (1 - middle) / max(1.0, of))
            back = max(0.0, *(b - a for a, b in pairwise(values[at:])))
            if fall < max(LEAST_FALL, ERRORS * error) or fall <= COMES_BACK * back:
                return {}
            seen = {"score": name, "best": best, "best_step": self._steps[name][at]}
            found.append((fall, {**seen, "last": values[-1], "evaluations": len(values)}))
        return max(found, key=lambda pair: pair[0])[1] if found else {}
