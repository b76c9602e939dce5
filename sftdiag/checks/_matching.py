"""Which answers match which prompts: by the rare tokens they share, against strangers' answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from math import ceil, log
from typing import NamedTuple

from sftdiag.samples import IGNORE_INDEX, Sample, Spans, Split

LEVEL = 0.02
"""Share of strangers' answers that may overlap as much: as often a stranger's answer matches."""

MOST_ROWS = 512
"""Rows compared at most: more take time and do not change what was found among so many."""

COMMON = 0.2
"""Share of the rows from which on a token weighs nothing: a template's, or a stop word. Any share
of 5 to 50 % gives the same matches on questions to a dictionary and to a manual; from 13 % on rows
that are put together from a few words match, too."""

MOST_TOKENS = 64
"""Tokens of a prompt that are looked for, the rarest: of long prompts the others cost time and tell
few answers apart."""

REPEATED, LONG = 0.8, 8
"""Share of an answer's weight found in a prompt from which on the prompt says it again, where the
answer has so many tokens that weigh or weighs half of the prompt. An answer that is taken from its
prompt (a name, a date) is shorter, and one of a sentence says something new."""


class Row(NamedTuple):
    """A row: its index among the samples, its place in the set, and its distinct tokens."""

    sample: int
    place: int
    prompt: frozenset[int]
    answer: frozenset[int]


class Matches:
    """Which answers match which prompts, against those of strangers."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.at = {row.place: index for index, row in enumerate(rows)}
        counts = Counter(token for row in rows for token in row.prompt | row.answer)
        common = COMMON * len(rows)
        self._weights = {t: log(len(rows) / n) for t, n in counts.items() if n <= common}
        self._answers = self._holders([row.answer for row in rows])
        self._overlaps: dict[int, dict[int, float]] = {}

    def beside(self, index: int, lag: int) -> int | None:
        """Return the index of the row ``lag`` places further on, if it was looked at."""
        return self.at.get(self.rows[index].place + lag)

    def answer(self, index: int, other: int) -> bool:
        """Return whether a prompt matches another row's answer, or its own."""
        overlap = self._overlaps.get(index)
        if overlap is None:
            overlap = self._overlap(self.rows[index].prompt, self._answers)
            self._overlaps[index] = overlap
        return self._stands_out(overlap, index, other)

    def alike(self, index: int, other: int) -> bool:
        """Return whether two prompts are more alike than strangers'."""
        overlap = self._overlap(self.rows[index].prompt, self._prompts)
        return self._stands_out(overlap, index, other)

    def repeats(self, index: int, other: int) -> bool:
        """Return whether a prompt says again what another row's answer says."""
        prompt, answer = self.rows[index].prompt, self.rows[other].answer
        said, asked = self._weight(answer), self._weight(prompt)
        long = sum(token in self._weights for token in answer) >= LONG or said >= asked / 2
        return long and self._weight(prompt & answer) >= REPEATED * said

    @cached_property
    def _prompts(self) -> dict[int, list[int]]:
        return self._holders([row.prompt for row in self.rows])

    def _holders(self, sets: Sequence[frozenset[int]]) -> dict[int, list[int]]:
        """Return for each token that weighs something the indices of the sets that hold it."""
        holders: dict[int, list[int]] = {}
        for index, tokens in enumerate(sets):
            for token in tokens & self._weights.keys():
                holders.setdefault(token, []).append(index)
        return holders

    def _overlap(
        self, tokens: frozenset[int], holders: Mapping[int, Sequence[int]]
    ) -> dict[int, float]:
        """Return how much each set shares with these tokens, in nats; those that share any."""
        overlap: dict[int, float] = {}
        held = sorted(tokens & holders.keys(), key=lambda token: (-self._weights[token], token))
        for token in held[:MOST_TOKENS]:
            weight = self._weights[token]
            for index in holders[token]:
                overlap[index] = overlap.get(index, 0.0) + weight
        return overlap

    def _stands_out(self, overlap: Mapping[int, float], index: int, other: int) -> bool:
        own = overlap.get(other, 0.0)
        if not own:
            return False
        near = {index, other, self.beside(index, 1), self.beside(index, -1)} - {None}
        strangers = len(self.rows) - len(near)
        reached = sum(value >= own for i, value in overlap.items() if i not in near)
        return reached + 1 <= LEVEL * (strangers + 1)

    def _weight(self, tokens: frozenset[int]) -> float:
        return sum(self._weights.get(token, 0.0) for token in tokens)


def rows_of(split: Split) -> list[Row]:
    """Return the rows with a prompt and an answer, of long sets evenly spaced pairs."""
    if split.places is None:
        return []
    stride = 2 * ceil(len(split.samples) / MOST_ROWS)
    looked_at = enumerate(zip(split.places, split.samples, strict=True))
    rows = []
    for index, (place, sample) in looked_at:
        if index % stride >= 2 or len(sample.starts) > 1:
            continue
        prompt, answer = _sides(sample)
        if prompt and answer:
            rows.append(Row(index, place, prompt, answer))
    return rows


def _sides(sample: Sample) -> tuple[frozenset[int], frozenset[int]]:
    """Return the tokens outside and inside of a row's replies; without any, of what is trained."""
    inside, outside, start = set[int](), set[int](), 0
    for first, end in sample.answers or _trained(sample):
        outside.update(sample.input_ids[start:first])
        inside.update(sample.input_ids[first:end])
        start = end
    outside.update(sample.input_ids[start:])
    return frozenset(outside), frozenset(inside)


def _trained(sample: Sample) -> Spans:
    """Return the parts of a row that have labels."""
    spans, start = [], 0
    for trained, run in groupby(label != IGNORE_INDEX for label in sample.labels):
        end = start + sum(1 for _ in run)
        if trained:
            spans.append((start, end))
        start = end
    return tuple(spans)
