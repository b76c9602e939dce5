"""How far rows are from other rows by their tokens, against how far parts of one set are.

The distance is the total variation of token frequencies: the share of tokens that would have to be
other ones. Small samples differ by chance; so a distance counts by what it exceeds that between
interleaved parts of the training set of the same size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

from sftdiag.samples import Sample

FARTHER = 0.25
"""By how much the distance must exceed that between parts of the training set. Parts of one set
differ from each other by less than 0.05 in their distance to the rest; a set in another language or
of other topics is at 0.4 and beyond."""

LEAST_ROWS = 20
"""Rows on each side: with fewer their own scatter hides any shift."""

PARTS = 4
"""Parts of the training set that are compared with its rest."""


def distance(one: Iterable[Sample], other: Iterable[Sample]) -> float:
    """Return the total variation distance of two sets' token frequencies, 0 to 1.

    Examples:
        >>> row = Sample((1, 1, 2, 3), (1, 1, 2, 3))
        >>> distance([row], [row.replace(input_ids=(1, 1, 2, 4))])
        0.25
    """
    here, there = _tokens(one), _tokens(other)
    total, whole = max(1, here.total()), max(1, there.total())
    return 0.5 * sum(abs(here[token] / total - there[token] / whole) for token in here | there)


def nearest(one: Iterable[Sample], other: Sequence[Sample]) -> list[Sample]:
    """Return the rows of the other set whose tokens are likelier in the first one.

    A token that a set has not counts as half a time there.

    Examples:
        >>> rows = [Sample((n, n + 1), (n, n + 1)) for n in (1, 1, 7, 8)]
        >>> [row.input_ids for row in nearest(rows[:2], rows)]
        [(1, 2), (1, 2)]
    """
    here, there = _tokens(one), _tokens(other)
    base = log((here.total() + 1) / (there.total() + 1))

    def likelier(sample: Sample) -> float:
        return sum(
            log((here[token] + 0.5) / (there[token] + 0.5)) - base for token in sample.input_ids
        )

    return [sample for sample in other if likelier(sample) > 0]


def within(samples: Sequence[Sample], size: int) -> float:
    """Return how far interleaved parts of a set, of at most ``size`` rows, are from its rest."""
    size = min(size, len(samples) // 2)
    step = max(1, len(samples) // max(1, size))
    distances = []
    for part in range(min(PARTS, step)):
        places = set(range(part, len(samples), step))
        chosen = [sample for i, sample in enumerate(samples) if i in places]
        rest = [sample for i, sample in enumerate(samples) if i not in places]
        if rest:
            distances.append(distance(chosen[:size], rest))
    return max(distances, default=0.0)


def _tokens(samples: Iterable[Sample]) -> Counter[int]:
    return Counter(token for sample in samples for token in sample.input_ids)
