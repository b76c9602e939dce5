"""Lengths: how long the rows are, what each max_length holds and cuts, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sftdiag.ranges import COVERAGE, LENGTH_BANDS
from sftdiag.tuning.setup import power_of_two
from sftdiag.values import Value

QUANTILES = (0.5, 0.75, COVERAGE.low, COVERAGE.high, 0.99, 1.0)
"""The guide's 90 and 95 %, and what the tail looks like."""

SHORTEST = 64
"""The lowest max_length that is shown."""

REFERENCE = 512
"""The guide's shortest row; memory is shown as a multiple of what it takes."""

BINS = 16
"""Bars of the histogram."""


class Coverage(Value):
    """What one max_length does.

    Attributes:
        max_length: a power of two.
        share: of the rows that it holds whole.
        rows_cut: rows that lose their end.
        tokens_cut: share of all tokens that is lost.
        attention_memory: of one row, as a multiple of that of :data:`REFERENCE` tokens; it grows
            with the square of the length.
        cost: the guide's word for it, a key of the texts.
    """

    max_length: int
    share: float
    rows_cut: int
    tokens_cut: float
    attention_memory: float
    cost: str


class Lengths(Value):
    """The distribution of the rows' token counts.

    Attributes:
        counts: tokens to the number of rows that have so many.

    Raises:
        ValueError: there is no row.

    Examples:
        >>> lengths = Lengths({100: 90, 700: 8, 5000: 2})
        >>> lengths.quantile(0.5), lengths.quantile(0.95), lengths.max_length
        (100, 700, 1024)
        >>> [(row.max_length, row.share) for row in lengths.coverage][-4:]
        [(1024, 0.98), (2048, 0.98), (4096, 0.98), (8192, 1.0)]
    """

    counts: Mapping[int, int]

    def _validate(self) -> None:
        if not self.rows:
            raise ValueError("no rows to measure")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(length * count for length, count in self.counts.items())

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least ``share`` of the rows do not exceed."""
        wanted, seen = share * self.rows, 0
        for length in sorted(self.counts):
            seen += self.counts[length]
            # The product of a share and a count is not always the whole number it stands for.
            if seen >= wanted - 1e-9:
                break
        return length

    @property
    def quantiles(self) -> dict[float, int]:
        """The lengths at :data:`QUANTILES`; what ``recommend`` takes as ``lengths``."""
        return {share: self.quantile(share) for share in QUANTILES}

    @property
    def max_length(self) -> int:
        """The guide's choice: the 95th percentile rounded up to a power of two."""
        return power_of_two(self.quantile(COVERAGE.high))

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """What each power of two holds and costs, up to the one that holds every row."""
        found = []
        length, longest = SHORTEST, max(self.counts)
        while True:
            found.append(self._at(length))
            if length >= longest:
                return tuple(found)
            length *= 2

    def _at(self, length: int) -> Coverage:
        longer = {tokens: count for tokens, count in self.counts.items() if tokens > length}
        cut = sum(longer.values())
        lost = sum((tokens - length) * count for tokens, count in longer.items())
        return Coverage(
            length,
            (self.rows - cut) / self.rows,
            cut,
            lost / self.tokens if self.tokens else 0.0,
            (length / REFERENCE) ** 2,
            next(band.name for band in LENGTH_BANDS if length in band),
        )

    def histogram(self, bins: int = BINS) -> list[tuple[int, int, int]]:
        """Return (from, to, rows) of equal bins; the last one is open above the 99th percentile."""
        low, high = min(self.counts), self.quantile(0.99)
        width = max(1, -(-(high - low + 1) // bins))
        rows: Counter[int] = Counter()
        for length, count in self.counts.items():
            rows[min(bins - 1, (length - low) // width)] += count
        longest = max(self.counts)
        last = max(rows)
        ends = [low + (place + 1) * width - 1 for place in range(last)] + [longest]
        return [(low + place * width, ends[place], rows[place]) for place in range(last + 1)]

    def to_dict(self) -> dict[str, Any]:
        """Return strict JSON, without the counts."""
        return {
            "schema_version": 1,
            "rows": self.rows,
            "tokens": self.tokens,
            "quantiles": {f"{share:g}": tokens for share, tokens in self.quantiles.items()},
            "max_length": self.max_length,
            "coverage": [row.to_dict() for row in self.coverage],
            "histogram": [list(row) for row in self.histogram()],
        }


def count(batches: Iterable[Iterable[int]]) -> Lengths:
    """Return the distribution of lengths that come in batches; keeps one number a length.

    Raises:
        ValueError: there is no row.
    """
    counts: Counter[int] = Counter()
    for batch in batches:
        counts.update(batch)
    return Lengths(dict(counts))
