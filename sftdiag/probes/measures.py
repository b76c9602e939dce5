"""Measures of replies and losses, each with its noise over prompts. Pure: no library, no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, hypot, sqrt

from sftdiag.values import Value

Tokens = Sequence[int]

SURE = 3.0
"""Standard errors from which a difference is no noise: by chance once in 700 looks, and a pattern
must show at two probes in a row."""


MOST_LOG = 50.0
"""Logarithm up to which a factor is told: beyond it only its being huge counts."""


class Estimate(Value):
    """A value and its standard error over the prompts or texts it was measured on."""

    value: float
    error: float


def beyond(high: Estimate, low: Estimate, least: float) -> bool:
    """Return whether ``high`` is above ``low`` by ``least`` or more, and surely so."""
    difference = high.value - low.value
    return difference >= least and difference > SURE * hypot(high.error, low.error)


def factor_of(logarithm: float) -> float:
    """Return the factor of a logarithm, within what :data:`MOST_LOG` allows."""
    return exp(max(-MOST_LOG, min(logarithm, MOST_LOG)))


def mean_of(values: Sequence[float]) -> Estimate:
    """Return the mean and its standard error; that of fewer than two values is unknown: 0.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return Estimate(mean, 0.0)
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return Estimate(mean, sqrt(variance / count))


def jackknife(items: Sequence[Tokens], measure: Callable[[Sequence[Tokens]], float]) -> Estimate:
    """Return a measure of all items and its standard error from leaving each out in turn."""
    value, count = measure(items), len(items)
    if count < 2:
        return Estimate(value, 0.0)
    without = [measure([*items[:i], *items[i + 1 :]]) for i in range(count)]
    center = sum(without) / count
    return Estimate(value, sqrt((count - 1) / count * sum((w - center) ** 2 for w in without)))


def repeated_share(tokens: Tokens, n: int = 4) -> float:
    """Return the share of n-grams that occurred before in the same text; 0 where there is none.

    This is seq-rep-n of Welleck et al. (2020, arXiv 1908.04319).

    Examples:
        >>> repeated_share([1, 2, 3, 4, 5, 6, 7])
        0.0
        >>> repeated_share([1, 2] * 8)
        0.8461538461538461
    """
    grams = _grams(tokens, n)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def distinct_share(texts: Sequence[Tokens], n: int = 2) -> float:
    """Return the share of n-grams of all texts together that differ; 1 where there is none.

    This is distinct-n of Li et al. (2016, arXiv 1510.03055).

    Examples:
        >>> distinct_share([[1, 2, 3], [4, 5, 6]])
        1.0
        >>> distinct_share([[1, 2, 3], [1, 2, 3]])
        0.5
    """
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else 1.0


def named(name: str, estimate: Estimate) -> dict[str, float]:
    """Return an estimate as two measures: ``name`` and ``name_error``."""
    return {name: estimate.value, f"{name}_error": estimate.error}


def estimate(measures: Mapping[str, float], name: str) -> Estimate | None:
    """Return what :func:`named` put there, or None."""
    value = measures.get(name)
    return None if value is None else Estimate(value, measures.get(f"{name}_error", 0.0))


def _grams(tokens: Tokens, n: int) -> list[tuple[int, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
