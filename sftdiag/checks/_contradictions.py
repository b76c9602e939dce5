"""Prompts that come again with answers that have nothing to do with each other."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import NamedTuple

from sftdiag.checks._matching import COMMON, MOST_TOKENS, Row, rows_of
from sftdiag.checks._same_prompts import LEAST_PAIRS, LEAST_PROMPTS
from sftdiag.samples import Split
from sftdiag.token_sets import Overlaps

Z = 2.0
"""Standard deviations of a mean rank above a half up to which two answers of one prompt are no more
alike than a stranger's: paraphrases, drafts and hits on one topic rank at 0.8 and above, with the
fewest pairs 4.6 of them away."""


class Contradictions(NamedTuple):
    """Rows whose prompt an earlier row has, with an answer that is a stranger's to it.

    Attributes:
        seen: rows that were compared.
        prompts: that come again.
        rows: indices of the later rows.
        rank: mean rank of the earlier answer among all by how much it shares with the later one,
            0.5 for a stranger's.
    """

    seen: int
    prompts: int
    rows: tuple[int, ...]
    rank: float


def contradictions(split: Split) -> Contradictions | None:
    """Return them; None where too few prompts come again, or their answers are alike."""
    rows = rows_of(split)
    again: Counter[tuple[int, ...]] = Counter()
    last: dict[tuple[int, ...], int] = {}
    pairs = []
    for index, row in enumerate(rows):
        prompt, answer = _parts(split, row)
        earlier = last.get(prompt)
        if earlier is not None and _parts(split, rows[earlier])[1] != answer:
            again[prompt] += 1
            pairs.append((index, earlier))
        last[prompt] = index
    few = len(pairs) < LEAST_PAIRS or len(again) < LEAST_PROMPTS
    # One prompt of most of them says nothing of its answers, and is meant to.
    if few or 2 * max(again.values()) > len(pairs):
        return None
    said = [(row.answer, row.answer) for row in rows]
    overlaps = Overlaps(said, COMMON * len(rows), MOST_TOKENS)
    rank = sum(_rank(overlaps, index, earlier) for index, earlier in pairs) / len(pairs)
    if rank > 0.5 + Z * sqrt(1 / 12 / len(pairs)):
        return None
    return Contradictions(
        len(rows), len(again), tuple(rows[index].sample for index, _ in pairs), rank
    )


def _parts(split: Split, row: Row) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what stands before the last reply, and the reply."""
    sample = split.samples[row.sample]
    start, end = (sample.answers or ((len(sample.input_ids),) * 2,))[-1]
    return sample.input_ids[:start], sample.input_ids[start:end]


def _rank(overlaps: Overlaps, index: int, other: int) -> float:
    """Return the share of all other answers that share less with one, ties by half."""
    shares = overlaps.with_second(index)
    own = shares[other]
    below, level = int((shares < own).sum()), int((shares == own).sum())
    # The answer itself is above all others, and the other one level with itself.
    return (below + (level - 1) / 2) / max(1, len(shares) - 2)
