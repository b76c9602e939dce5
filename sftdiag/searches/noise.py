"""Noise: how much of the difference between two trials is the evaluation rows' and the seed's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from statistics import pstdev

from sftdiag.comparisons.difference import SEED_EVAL
from sftdiag.searches.costs import Cost
from sftdiag.searches.outcome import Outcome, RowLosses, Trial

RESAMPLES = 200
"""Draws of the bootstrap: the standard error then is right to about 5 %."""

STANDARD_ERRORS = 2.0
"""Times the standard error over the rows that a difference must exceed: one in forty by chance."""

CHEAPER_ERRORS = 1.0
"""Times it that a cheaper setting may cost: the one-standard-error rule (Breiman et al. 1984,
Classification and Regression Trees). Each step may give so much away; at two of them, with 96 rows,
four steps gave away 2 % (docs/search_score.md)."""

SEED = 0
"""Of the bootstrap's draws, its own, so that a search that is read again chooses the same."""


def row_error(one: RowLosses | None, other: RowLosses | None) -> float | None:
    """Return the standard error of the difference of two mean losses, over the same rows.

    A bootstrap over rows, each with its tokens. None where the rows are not the same ones.

    Examples:
        >>> a = RowLosses((1.0, 2.0, 3.0), (5, 5, 5), 3)
        >>> row_error(a, a)
        0.0
    """
    if one is None or other is None or one.tokens != other.tokens or not one.tokens:
        return None
    pairs = zip(one.tokens, one.losses, other.losses, strict=True)
    sums = [tokens * (a - b) for tokens, a, b in pairs]
    draw, rows = random.Random(SEED), range(len(sums))
    means = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(rows, k=len(sums))
        means.append(sum(sums[i] for i in drawn) / sum(one.tokens[i] for i in drawn))
    # The rows kept may be the first of many: the error over all of them is smaller.
    return pstdev(means) * sqrt(len(sums) / max(one.of, len(sums)))


def margin(
    one: Outcome, other: Outcome, seeds: float | None, errors: float = STANDARD_ERRORS
) -> float:
    """Return by how much two losses may differ by noise alone.

    The larger of two standard errors over the rows (or ``errors`` of them) and what two seeds of
    the same settings lie apart. Where neither is known, the most that seeds alone moved healthy
    runs (2 %).
    """
    error = row_error(one.rows, other.rows)
    known = [value for value in (error and errors * error, seeds) if value is not None]
    if known:
        return max(known)
    return SEED_EVAL * min(abs(one.loss or 0.0), abs(other.loss or 0.0))


def cheapest(
    candidates: Sequence[Trial], cost: Cost, seeds: float | None
) -> tuple[Trial, Trial, float]:
    """Return the trial to keep, the best one, and the margin between the two.

    The cheapest whose loss is not above the best one's by more than one standard error.
    """
    best = min(candidates, key=lambda trial: (trial.outcome.loss, cost(trial)))
    for trial in sorted(candidates, key=lambda trial: (cost(trial), trial.outcome.loss)):
        allowed = margin(trial.outcome, best.outcome, seeds, CHEAPER_ERRORS)
        if (trial.outcome.loss or 0.0) - (best.outcome.loss or 0.0) <= allowed:
            if cost(trial) < cost(best):
                return trial, best, allowed
            break
    return best, best, 0.0
