"""Which answers can cost next to nothing: copies of the prompt, and a few short ones (labels)."""

from __future__ import annotations

from collections import Counter

from sftdiag.checks.base import LEAST_ROWS, SHORT_ANSWER
from sftdiag.samples import Sample, Split

COPIED = 0.95
"""Share of an answer's distinct tokens that its prompt holds: the first of it may be written with
another token, after a line break instead of a space."""

LABEL = 5
"""Rows that share a short answer, at the least, for it to be a label of a class."""


def easy_answers(split: Split | None) -> float | None:
    """Return the share of the rows whose last answer can cost next to nothing, once it is learned.

    Args:
        split: the training rows that were looked at.

    Returns:
        The share, or None where the replies of fewer than LEAST_ROWS rows are known.

    Examples:
        >>> ids = (1, 5, 6, 7, 2, 5, 6, 7)
        >>> row = Sample(ids, ids, answers=((5, 8),))
        >>> easy_answers(Split("train", (row,) * 20, 20))
        1.0
    """
    if split is None:
        return None
    replies = [(s, *s.answers[-1]) for s in split.samples if s.answers]
    if len(replies) < LEAST_ROWS:
        return None
    # Empty ones, too: a fault of their own, but no loss of theirs is implausible.
    short = Counter(s.input_ids[a:b] for s, a, b in replies if b - a < SHORT_ANSWER)
    easy = sum(
        short[sample.input_ids[start:end]] >= LABEL or _copies(sample, start, end)
        for sample, start, end in replies
    )
    return easy / len(replies)


def _copies(sample: Sample, start: int, end: int) -> bool:
    answer = set(sample.input_ids[start:end])
    return len(answer.intersection(sample.input_ids[:start])) >= COPIED * len(answer) > 0
