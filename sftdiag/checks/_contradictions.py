"""Prompts that come again with answers that have nothing to do with each other."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from sftdiag.checks._matching import COMMON, MOST_TOKENS, Row, below, rows_of
from sftdiag.checks._same_prompts import are_enough, pairs_of
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
    parts = [_parts(split, row) for row in rows]
    prompts = [prompt for prompt, _ in parts]
    pairs = [pair for pair in pairs_of(prompts) if parts[pair[0]][1] != parts[pair[1]][1]]
    if not are_enough(pairs, prompts):
        return None
    said = [(row.answer, row.answer) for row in rows]
    overlaps = Overlaps(said, COMMON * len(rows), MOST_TOKENS)
    rank = sum(_rank(overlaps, index, earlier) for index, earlier in pairs) / len(pairs)
    if rank > 0.5 + Z * sqrt(1 / 12 / len(pairs)):
        return None
    again = len({prompts[index] for index, _ in pairs})
    later = tuple(rows[index].sample for index, _ in pairs)
    return Contradictions(len(rows), again, later, rank)


def _parts(split: Split, row: Row) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what stands before the last reply, and the reply."""
    sample = split.samples[row.sample]
    start, end = (sample.answers or ((len(sample.input_ids),) * 2,))[-1]
    return sample.input_ids[:start], sample.input_ids[start:end]


def _rank(overlaps: Overlaps, index: int, other: int) -> float:
    """Return the share of all other answers that share less with one, ties by half."""
    shares = overlaps.with_second(index)
    # The answer itself, above all, and the other one are not among those compared.
    return below(shares, other) / max(1, len(shares) - 2)
