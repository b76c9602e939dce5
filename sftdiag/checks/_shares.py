"""Shares seen in a sample of the rows: their 95 % interval, and what the sample cannot exclude."""

from __future__ import annotations

from math import sqrt

from sftdiag.findings import Scalar
from sftdiag.samples import Split

Z = 1.96
"""Standard normal quantile of a two-sided 95 % interval."""


def interval(count: int, seen: int, total: int | None = None) -> tuple[float, float]:
    """Return the 95 % Wilson interval of the share of rows that are like ``count`` of ``seen``.

    Args:
        count: rows that are.
        seen: rows looked at; at least 1.
        total: rows of the split. When all were looked at the share is known: both ends are it.

    References:
        Brown, Cai and DasGupta 2001, Interval Estimation for a Binomial Proportion: it keeps its
        level at small numbers, where the usual interval does not.

    Examples:
        >>> [round(end, 3) for end in interval(0, 256, 50_000)]
        [0.0, 0.015]
        >>> interval(12, 40, 40)
        (0.3, 0.3)
    """
    share = count / seen
    if total is not None and seen >= total:
        return share, share
    scale = 1 + Z * Z / seen
    middle = (share + Z * Z / (2 * seen)) / scale
    reach = Z * sqrt(share * (1 - share) / seen + Z * Z / (4 * seen * seen)) / scale
    return max(0.0, middle - reach), min(1.0, middle + reach)


def share_of_rows(count: int, split: Split, seen: int | None = None) -> dict[str, Scalar]:
    """Return the evidence ``rows``, ``seen`` and ``share`` with its interval.

    Args:
        count: rows that are so.
        split: whose they are.
        seen: rows that were looked at; all samples of the split unless given.
    """
    seen = len(split.samples) if seen is None else seen
    low, high = interval(count, seen, split.total)
    return {
        "rows": count,
        "seen": seen,
        "share": count / seen,
        "share_low": low,
        "share_high": high,
    }


def undetected(split: Split) -> float:
    """Return the share of rows below which a fault may be in none of those looked at."""
    return interval(0, len(split.samples), split.total)[1] if split.samples else 1.0
