"""What the checks of lengths share: which rows were cut, and how long rows were before."""

from __future__ import annotations

from sftdiag.checks.base import Inputs
from sftdiag.ranges import COVERAGE
from sftdiag.samples import IGNORE_INDEX, TOKENS, Sample, Split

LEAST_AT_CAP = 0.02
"""Share of the rows that must have the very same greatest length for it to be a cut: natural
lengths of long rows rarely agree."""

MOST_UNENDED = 0.5
"""Share of the shorter rows that may end without an end token: where more do, such an end is how
these rows are made, and tells of no cut."""


def cap_of(inputs: Inputs, split: Split) -> int | None:
    """Return the length at which rows were cut, the argument's or the one that shows, or None.

    It shows by raw rows that are longer; of tokenized rows by many of the same greatest length that
    do not end as the shorter ones do.
    """
    if inputs.context.max_length is not None:
        return inputs.context.max_length
    longest = max(len(sample.input_ids) for sample in split.samples)
    if any(was_cut(sample) for sample in split.samples):
        return longest
    if split.format != TOKENS:
        return None
    shorter = [s for s in split.samples if len(s.input_ids) < longest]
    unended = sum(not _ended(inputs, sample) for sample in shorter)
    at_cap = len(split.samples) - len(shorter)
    enough = at_cap >= max(2, LEAST_AT_CAP * len(split.samples))
    return longest if enough and shorter and unended <= MOST_UNENDED * len(shorter) else None


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
        if sample.full_tokens is not None:
            is_cut = was_cut(sample)
        else:
            is_cut = len(sample.input_ids) >= cap and bool(stops) and not _ended(inputs, sample)
        if is_cut:
            cut.append(index)
    return cut


def cut_before_answers(split: Split) -> bool:
    """Return whether every row had answers to train, and was cut before the first of them."""
    return bool(split.samples) and all(_lost_its_answers(sample) for sample in split.samples)


def longer(inputs: Inputs, split: Split) -> dict[str, tuple[int | None, int]]:
    """Return the change to a maximum length that covers the rows, or nothing where none would."""
    cap = cap_of(inputs, split)
    new = power_of_two(quantile(full_lengths(split), COVERAGE.high))
    return {"SFTConfig.max_length": (cap, new)} if cap is not None and new > cap else {}


def _lost_its_answers(sample: Sample) -> bool:
    given = (sample.row or {}).get("labels")
    if isinstance(given, (list, tuple)):
        return len(given) > len(sample.labels) and any(label != IGNORE_INDEX for label in given)
    return was_cut(sample) and bool(sample.full_answer_tokens) and not sample.answer_tokens


def was_cut(sample: Sample) -> bool:
    """Return whether a row is known to have been longer."""
    return sample.full_tokens is not None and sample.full_tokens > len(sample.input_ids)


def _ended(inputs: Inputs, sample: Sample) -> bool:
    """Return whether a row ends as a text ends: with an end token, and white space behind it."""
    known = inputs.tokenization
    if known is None:
        return True
    end = known.without_header(sample.input_ids)
    return any(token in known.stops for token in sample.input_ids[max(0, end - 2) : end])


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
