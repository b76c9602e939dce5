"""Sets of tokens and of their grams, compared all at once.

With numpy, which is there wherever there are rows: transformers brings it. Each number comes out as
a loop over Python's own integers and floats would give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    """Whole numbers, sorted, each of them once."""

    Shares = NDArray[np.float64]

_PRIMES = (11400714785074694791, 14029467366897019727, 2870177450012600261)
"""Of xxHash, by which Python hashes tuples."""

_LENGTH = 3527539
"""What Python mixes with a tuple's length."""


def numbers(tokens: Sequence[int]) -> Numbers:
    """Return a sequence's tokens as an array, in their order."""
    import numpy as np

    return np.fromiter(tokens, np.int64, len(tokens))


def distinct(values: Numbers) -> Numbers:
    """Return the values of an array, sorted, each of them once."""
    import numpy as np

    if not len(values):
        return values
    ordered = np.sort(values)
    found: Numbers = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return found


def union(parts: Sequence[Numbers]) -> Numbers:
    """Return the values of several arrays, sorted, each of them once."""
    import numpy as np

    return distinct(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def gram_hashes(tokens: Sequence[int], gram: int) -> Numbers:
    """Return the hashes of a sequence's grams; a shorter one is a gram itself.

    They are those of the grams as Python's tuples, the same in any run.

    Examples:
        >>> hash((5, 6, 7)) in gram_hashes((4, 5, 6, 7), 3)
        True
    """
    import numpy as np

    gram = min(gram, len(tokens))
    lanes = numbers(tokens).view(np.uint64)
    count = len(tokens) - gram + 1
    times, plus, start = (np.uint64(prime) for prime in _PRIMES)
    mixed = np.full(count, start)
    for place in range(gram):
        mixed += lanes[place : place + count] * plus
        mixed = (mixed << np.uint64(31)) | (mixed >> np.uint64(33))
        mixed *= times
    mixed += np.uint64(gram) ^ start ^ np.uint64(_LENGTH)
    return distinct(mixed.view(np.int64))


def runs_of_four(tokens: Numbers, letters: Numbers) -> Numbers:
    """Return a number for each run of four tokens, in the order of the tokens and of the letters.

    Args:
        tokens: a sequence of letters.
        letters: all that occur, sorted; at most 1,024.
    """
    import numpy as np

    places = np.searchsorted(letters, tokens)
    a, b, c, d = (places[i : max(i, len(places) - 3 + i)] for i in range(4))
    return ((a << 10 | b) << 10 | c) << 10 | d


def in_many(sets: Sequence[Numbers], most: float) -> Numbers:
    """Return what more than ``most`` of the sets hold."""
    import numpy as np

    held = np.sort(np.concatenate(sets)) if sets else np.empty(0, np.int64)
    # In a sorted array, what stands so many places further on is the same only where it is held so
    # often.
    reach = min(int(most), len(held))
    first = held[: len(held) - reach]
    return distinct(first[held[reach:] == first])


def without(values: Numbers, others: Numbers) -> Numbers:
    """Return the values that are none of the others."""
    import numpy as np

    return values if not len(others) else values[~np.isin(values, others, assume_unique=True)]


class Overlaps:
    """How much sets of two kinds share, each member weighted by how rare it is.

    Args:
        pairs: the two sets of each row, such as its prompt's tokens and its answer's.
        common: members of more rows weigh nothing; of the others one of ``n`` rows weighs the
            logarithm of all rows divided by ``n``.
        most: members of a set that are looked for in others, the rarest.
    """

    def __init__(self, pairs: Sequence[tuple[Numbers, Numbers]], common: float, most: int) -> None:
        import numpy as np

        self._rows = len(pairs)
        self._most = most
        members = np.sort(np.concatenate([union(pair) for pair in pairs])) if pairs else numbers(())
        first = np.flatnonzero(np.append(True, members[1:] != members[:-1])[: len(members)])
        rows = np.diff(np.append(first, len(members)))
        weighing = rows <= common
        self._members, self._often = members[first[weighing]], rows[weighing]
        weights = [0.0, *(log(len(pairs) / n) for n in range(1, max(1, int(common)) + 1))]
        self._weights: Shares = np.array(weights)[self._often]
        self._firsts, self._seconds = (
            [self._places(pair[side]) for pair in pairs] for side in (0, 1)
        )
        self._held: dict[bool, tuple[Numbers, Numbers]] = {}

    def with_second(self, row: int) -> Shares:
        """Return how much of a row's first set is in each row's second, in nats."""
        return self._shared(row, first=False)

    def with_first(self, row: int) -> Shares:
        """Return how much of a row's first set is in each row's first, in nats."""
        return self._shared(row, first=True)

    def first(self, row: int) -> tuple[int, float]:
        """Return how many members of a row's first set weigh something, and how much in all."""
        return self._weight(self._firsts[row])

    def second(self, row: int) -> tuple[int, float]:
        """Return the same of a row's second set."""
        return self._weight(self._seconds[row])

    def both(self, row: int, other: int) -> tuple[int, float]:
        """Return the same of what a row's first set and another's second have in common."""
        import numpy as np

        pair = self._firsts[row], self._seconds[other]
        return self._weight(np.intersect1d(*pair, assume_unique=True))

    def _weight(self, places: Numbers) -> tuple[int, float]:
        return len(places), float(self._weights[places].sum())

    def _places(self, values: Numbers) -> Numbers:
        """Return where values stand among the members that weigh something."""
        import numpy as np

        if not len(self._members):
            return np.empty(0, np.int64)
        places = np.searchsorted(self._members, values)
        places[places == len(self._members)] = 0
        found: Numbers = places[self._members[places] == values]
        return found

    def _shared(self, row: int, *, first: bool) -> Shares:
        """Return what the rarest members weigh in each set: added up from the heaviest on."""
        import numpy as np

        starts, owners = self._holders(first)
        asked = self._firsts[row]
        asked = asked[starts[asked + 1] > starts[asked]]
        asked = asked[np.argsort(self._often[asked], kind="stable")][: self._most]
        counts = starts[asked + 1] - starts[asked]
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        held = owners[np.repeat(starts[asked], counts) + steps]
        weights = np.repeat(self._weights[asked], counts)
        return np.bincount(held, weights, minlength=self._rows).astype(np.float64, copy=False)

    def _holders(self, first: bool) -> tuple[Numbers, Numbers]:
        """Return where the holders of each member begin, and the rows that hold them in turn."""
        import numpy as np

        if first not in self._held:
            sets = self._firsts if first else self._seconds
            held = np.concatenate([*sets, np.empty(0, np.int64)])
            rows = np.repeat(np.arange(len(sets)), [len(places) for places in sets])
            # Only what some row asks for needs its holders.
            asked = np.zeros(len(self._members) + 1, bool)
            asked[np.concatenate([*self._firsts, np.empty(0, np.int64)])] = True
            rows, held = rows[asked[held]], held[asked[held]]
            order = np.argsort(held, kind="stable")
            ends = np.cumsum(np.bincount(held, minlength=len(self._members)))
            self._held[first] = np.append(0, ends), rows[order]
        return self._held[first]
