"""Rows with the same prompt: do their answers agree? That needs no words in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from sftdiag.samples import Split

Prompt = tuple[int, ...]
"""Its tokens."""

LEAST_PAIRS = 20
"""Pairs of rows with one prompt whose answers are compared: fewer say little of a share."""

LEAST_PROMPTS = 10
"""Prompts that come again: one that all rows share says nothing of whose answer is whose."""

LEAST_CHANCE = 0.05
"""Agreement by chance from which the answers are labels, of which one is right: of texts there are
many to one prompt, no two of which agree, nor would by chance."""

SOUND = 0.9
"""Agreement of labels that are their prompts': what differs there is noise."""

Z = 4.0
"""Standard deviations by which labels lie below SOUND, and are no more than two above chance."""


class SamePrompts(NamedTuple):
    """Pairs of rows with one prompt.

    Attributes:
        pairs: of a row and the one before it with the same prompt.
        agree: those whose answers are the same.
        chance: share of them that would be if answers were drawn blindly.
        rows: indices of the rows whose answer is another.
    """

    pairs: int
    agree: int
    chance: float
    rows: tuple[int, ...]

    @property
    def blind(self) -> bool:
        """Whether the answers agree no more than if they were not their prompts'."""
        expected, spread = self._of(self.chance)
        low, _ = self._of(SOUND)
        return self.agree <= expected + 2 * spread and expected + Z * spread <= low

    @property
    def sound(self) -> bool:
        """Whether they agree as answers of their own prompts do, and others do not."""
        expected, spread = self._of(self.chance)
        return self.agree >= SOUND * self.pairs >= expected + Z * spread

    def _of(self, share: float) -> tuple[float, float]:
        return share * self.pairs, sqrt(share * (1 - share) * self.pairs)


def same_prompts(split: Split) -> SamePrompts | None:
    """Return how rows with one prompt agree; None where too few have one, or answers are texts."""
    whole = [(i, s, s.answers[-1]) for i, s in enumerate(split.samples) if s.answers]
    rows = [(i, s.input_ids, *span) for i, s, span in whole if len(s.starts) == 1]
    said = Counter(ids[start:end] for _, ids, start, end in rows)
    alike = sum(count * (count - 1) for count in said.values())
    if alike < LEAST_CHANCE * len(rows) * (len(rows) - 1) or len(rows) < LEAST_PAIRS:
        return None
    prompts = [ids[:start] for _, ids, start, _ in rows]
    pairs = pairs_of(prompts)
    if not are_enough(pairs, prompts):
        return None
    differ = []
    for later, earlier in pairs:
        (index, ids, start, end), (_, other, *span) = rows[later], rows[earlier]
        if ids[start:end] != other[slice(*span)]:
            differ.append(index)
    chance = alike / (len(rows) * (len(rows) - 1))
    return SamePrompts(len(pairs), len(pairs) - len(differ), chance, tuple(differ))


def pairs_of(prompts: Sequence[Prompt]) -> list[tuple[int, int]]:
    """Return the rows whose prompt stands earlier, each with the last row before it that has it."""
    last: dict[Prompt, int] = {}
    pairs = []
    for index, prompt in enumerate(prompts):
        if prompt in last:
            pairs.append((index, last[prompt]))
        last[prompt] = index
    return pairs


def are_enough(pairs: Sequence[tuple[int, int]], prompts: Sequence[Prompt]) -> bool:
    """Return whether so many prompts come again that their answers can be compared.

    One prompt that most of the rows share says nothing of its answers, and is meant to.
    """
    again = Counter(prompts[index] for index, _ in pairs)
    if len(pairs) < LEAST_PAIRS or len(again) < LEAST_PROMPTS:
        return False
    return 2 * max(again.values()) <= len(pairs)
