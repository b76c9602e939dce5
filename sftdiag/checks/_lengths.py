"""What the checks of lengths share: which rows were cut, and how long rows were before."""

from __future__ import annotations

from collections import Counter

from sftdiag.checks.base import Inputs
from sftdiag.samples import Split

LEAST_AT_CAP = 0.02
"""Share of the rows that must have the very same greatest length for it to be a cut: natural
lengths of long rows rarely agree."""


def cap_of(inputs: Inputs, split: Split) -> int | None:
    """Return the length at which rows were cut, the argument's or the one that shows, or None."""
    if inputs.context.max_length is not None:
        return inputs.context.max_length
    counts = Counter(len(sample.input_ids) for sample in split.samples)
    longest = max(counts)
    enough = counts[longest] >= max(2, LEAST_AT_CAP * len(split.samples))
    return longest if enough and len(counts) > 1 else None


def cut_rows(inputs: Inputs, split: Split) -> list[int]:
    """Return the indices of the rows that were cut.

    A row is known to be cut when it was longer before; else when it has the greatest length and
    does not end as a text ends.
    """
    cap = cap_of(inputs, split)
    if cap is None:
        return []
    stops = inputs.tokenization.stops if inputs.tokenization is not None else frozenset()
    cut = []
    for index, sample in enumerate(split.samples):
        length = len(sample.input_ids)
        if sample.full_tokens is not None:
            is_cut = sample.full_tokens > length
        else:
            ended = any(token in stops for token in sample.input_ids[-2:])
            is_cut = length >= cap and bool(stops) and not ended
        if is_cut:
            cut.append(index)
    return cut


def full_lengths(split: Split) -> list[int]:
    """Return the rows' lengths before they were cut, in tokens, in order; cut ones as seen."""
    return sorted(s.full_tokens or len(s.input_ids) for s in split.samples)


def quantile(ordered: list[int], share: float) -> int:
    """Return the smallest value that at least this share of the values does not exceed.

    Examples:
        >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.95)
        (2, 4)
    """
    reach = -(-len(ordered) * round(share * 1000) // 1000)
    return ordered[max(0, min(len(ordered), reach) - 1)]


def power_of_two(length: int) -> int:
    """Return the smallest power of two that is at least this.

    Examples:
        >>> power_of_two(1025), power_of_two(1024)
        (2048, 1024)
    """
    return 1 << max(0, length - 1).bit_length()
