"""How far rows are from other rows by their tokens, against how far parts of one set are.

The distance is the total variation of token frequencies: the share of tokens that would have to be
other ones. Small samples differ by chance; so a distance counts by what it exceeds that between
interleaved parts of the training set of the same size.

What a template writes around each row, often most of a short one, is left out: alike in rows of
every kind, it would make all of them look alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from itertools import chain, pairwise
from math import log
from operator import and_

from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Sample

FARTHER = 0.25
"""By how much the distance must exceed that between parts of the training set. Parts of one set
differ from each other by less than 0.05 in their distance to the rest; a set in another language or
of other topics is at 0.3 and beyond, without the template's tokens."""

LEAST_ROWS = 20
"""Rows on each side: with fewer their own scatter hides any shift."""

PARTS = 4
"""Parts of the training set that are compared with its rest."""

Rows = Sequence[tuple[int, ...]]
"""Token ids, shape (tokens,) each."""


def own_tokens(*sets: Sequence[Sample], each: bool = False) -> list[Rows]:
    """Return each set's rows without the tokens that nearly every row of every set has.

    A token is left out as often as all but :data:`~sftdiag.ranges.TOLERATED_ROWS` of the rows have
    it, so that no more is left out than a short row holds; of a packed row each document is a row.

    Args:
        sets: the rows of each.
        each: leave out of each set what nearly all of its own rows have, such as a system turn.

    Examples:
        >>> rows = [Sample((9, 9, n, 8), (9, 9, n, 8)) for n in (9, 2)]
        >>> own_tokens(rows, [Sample((9, 9, 5), (9, 9, 5))])
        [[(9, 8), (2, 8)], [(5,)]]
        >>> own_tokens(rows, [Sample((9, 9, 5), (9, 9, 5))], each=True)
        [[(9,), (2,)], [()]]
        >>> own_tokens([Sample((9, 4, 9, 5), (9, 4, 9, 5), starts=(0, 2))])
        [[(4,), (5,)]]
    """
    found = [_documents(samples) for samples in sets]
    around = [_around(rows) for rows in found]
    common = reduce(and_, around)
    return [
        [_without(row, own if each else common) for row in rows]
        for rows, own in zip(found, around, strict=True)
    ]


def distance(one: Rows, other: Rows) -> float:
    """Return the total variation distance of two sets' token frequencies, 0 to 1.

    Examples:
        >>> distance([(1, 1, 2, 3)], [(1, 1, 2, 4)])
        0.25
    """
    here, there = _tokens(one), _tokens(other)
    total, whole = max(1, here.total()), max(1, there.total())
    return 0.5 * sum(abs(here[token] / total - there[token] / whole) for token in here | there)


def nearest(one: Rows, other: Rows) -> Rows:
    """Return the rows of the other set whose tokens are likelier in the first one.

    A token that a set has not counts as half a time there.

    Examples:
        >>> rows = [(n, n + 1) for n in (1, 1, 7, 8)]
        >>> nearest(rows[:2], rows)
        [(1, 2), (1, 2)]
    """
    here, there = _tokens(one), _tokens(other)
    base = log((here.total() + 1) / (there.total() + 1))

    def likelier(row: tuple[int, ...]) -> float:
        return sum(log((here[token] + 0.5) / (there[token] + 0.5)) - base for token in row)

    return [row for row in other if likelier(row) > 0]


def within(rows: Rows, size: int) -> float:
    """Return how far interleaved parts of a set, of at most ``size`` rows, are from its rest.

    Of rows that repeat one counts: copies on both sides would be no chance.
    """
    rows = list(dict.fromkeys(rows))
    size = min(size, len(rows) // 2)
    step = max(1, len(rows) // max(1, size))
    distances = []
    for part in range(min(PARTS, step)):
        places = set(range(part, len(rows), step))
        chosen = [row for i, row in enumerate(rows) if i in places]
        rest = [row for i, row in enumerate(rows) if i not in places]
        if rest:
            distances.append(distance(chosen[:size], rest))
    return max(distances, default=0.0)


def _tokens(rows: Rows) -> Counter[int]:
    return Counter(chain.from_iterable(rows))


def _documents(samples: Sequence[Sample]) -> Rows:
    """Return the documents of rows: of one that is not packed, itself."""
    return [
        sample.input_ids[start:end]
        for sample in samples
        for start, end in pairwise((*sample.starts, len(sample.input_ids)))
    ]


def _around(rows: Rows) -> Counter[int]:
    """Return the tokens that nearly every row has, as often as nearly every row has them."""
    counts = [Counter(row) for row in rows]
    odd = int(TOLERATED_ROWS * len(rows))
    having = Counter(chain.from_iterable(counts))
    return Counter(
        {
            token: sorted(count[token] for count in counts)[odd]
            for token, number in having.items()
            if number >= len(rows) - odd
        }
    )


def _without(ids: tuple[int, ...], common: Counter[int]) -> tuple[int, ...]:
    left = dict(common)
    kept = []
    for token in ids:
        if left.get(token):
            left[token] -= 1
        else:
            kept.append(token)
    return tuple(kept)
