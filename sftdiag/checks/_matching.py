"""Which answers match which prompts: by the rare tokens they share, against strangers' answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from heapq import nlargest
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

SMALL_VOCABULARY = 512
"""Distinct tokens up to which they may be bytes or characters (256 bytes and what marks turns):
every row has all of them, and words are told by runs of tokens."""

SENTENCE = 12
"""Characters of a median answer from which on runs tell it from others: one of a word or number has
hardly any."""

MOST_IN_RUNS = 1024
"""Tokens of a part that are read in runs of four, the beginning of a word with the space before it;
more cost time."""

MOST_TOKENS = 64
"""Tokens of a prompt that are looked for, the rarest: of long prompts the others cost time and tell
few answers apart."""

IN_RUN = 1 << 80
"""Marks the number of a run, above every token's."""

RUNS_A_WORD = 5
"""Characters of a word with its space: as many runs begin in it, where a token would be one."""

REPEATED, LONG = 0.8, 8
"""Share of an answer's weight found in a prompt from which on the prompt says it again, where the
answer has so many tokens that weigh or weighs half of the prompt. An answer that is taken from its
prompt (a name, a date) is shorter, and one of a sentence says something new."""


NEXT_BEST, SHARED = 0.5, 0.25
"""A prompt and an answer that belong together share twice what the next best does, and a quarter of
the weight of the shorter one: one rare word that two strangers have in common is less of it."""


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
        self.in_runs = any(token >= IN_RUN for row in rows[:1] for token in row.answer | row.prompt)
        self.at = {row.place: index for index, row in enumerate(rows)}
        counts = Counter(token for row in rows for token in row.prompt | row.answer)
        common = COMMON * len(rows)
        self._weights = {t: log(len(rows) / n) for t, n in counts.items() if n <= common}
        self._answers = self._holders([row.answer for row in rows])
        self._overlaps: dict[int, dict[int, float]] = {}

    def beside(self, index: int, lag: int) -> int | None:
        """Return the index of the row ``lag`` places further on, if it was looked at."""
        return self.at.get(self.rows[index].place + lag)

    def near(self, index: int, other: int) -> bool:
        """Return whether a row is another, or stands beside it."""
        return abs(self.rows[index].place - self.rows[other].place) <= 1

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
        least = LONG * (RUNS_A_WORD if self.in_runs else 1)
        long = sum(token in self._weights for token in answer) >= least or said >= asked / 2
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

    def alone(self) -> dict[int, int]:
        """Return which prompts and answers belong together, whatever rows they stand in.

        Each is the other's best match by far: the next best shares at most :data:`NEXT_BEST` of it.
        """
        best: dict[int, int] = {}
        of_answer: dict[int, tuple[float, int]] = {}
        for index in range(len(self.rows)):
            overlap = self._overlap(self.rows[index].prompt, self._answers)
            for other, shared in overlap.items():
                if shared > of_answer.get(other, (0.0, 0))[0]:
                    of_answer[other] = shared, index
            ranked = nlargest(2, overlap.items(), key=lambda pair: pair[1])
            if ranked and (len(ranked) < 2 or ranked[1][1] <= NEXT_BEST * ranked[0][1]):
                best[index] = ranked[0][0]
        return {
            index: other
            for index, other in best.items()
            if of_answer[other][1] == index and self._shares(index, other)
        }

    def _shares(self, index: int, other: int) -> bool:
        """Return whether a prompt and an answer share more than a word."""
        prompt, answer = self.rows[index].prompt, self.rows[other].answer
        both = [token for token in prompt & answer if token in self._weights]
        shorter = min(self._weight(prompt), self._weight(answer))
        return len(both) >= 2 and self._weight(prompt & answer) >= SHARED * shorter

    def _weight(self, tokens: frozenset[int]) -> float:
        return sum(self._weights.get(token, 0.0) for token in tokens)


def rows_of(split: Split) -> list[Row]:
    """Return the rows with a prompt and an answer, of long sets evenly spaced pairs."""
    if split.places is None:
        return []
    stride = 2 * ceil(len(split.samples) / MOST_ROWS)
    looked_at = [
        (index, place, sample)
        for index, (place, sample) in enumerate(zip(split.places, split.samples, strict=True))
        if index % stride < 2 and len(sample.starts) == 1
    ]
    if not looked_at:
        return []
    vocabulary = set[int]().union(*(sample.input_ids for *_, sample in looked_at))
    sides = [_sides(sample) for *_, sample in looked_at]
    said = sorted(sum(map(len, answer)) for _, answer in sides)
    in_runs = len(vocabulary) <= SMALL_VOCABULARY and said[len(said) // 2] >= SENTENCE
    rows = []
    for (index, place, _), both in zip(looked_at, sides, strict=True):
        prompt, answer = (_features(parts, in_runs) for parts in both)
        if prompt and answer:
            rows.append(Row(index, place, prompt, answer))
    return rows


def _sides(sample: Sample) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the parts outside and inside of a row's replies; without any, of what is trained."""
    inside, outside, start = [], [], 0
    for first, end in sample.answers or _trained(sample):
        outside.append(sample.input_ids[start:first])
        inside.append(sample.input_ids[first:end])
        start = end
    outside.append(sample.input_ids[start:])
    return outside, inside


def _features(parts: Sequence[tuple[int, ...]], in_runs: bool) -> frozenset[int]:
    """Return the distinct tokens of a side and, where they are characters, their runs as numbers.

    Examples:
        >>> len(_features([(5, 6, 7, 8, 9)], in_runs=True))
        7
    """
    found = {token for part in parts for token in part}
    if in_runs:
        for part in parts:
            read = part[:MOST_IN_RUNS]
            for a, b, c, d in zip(read, read[1:], read[2:], read[3:], strict=False):
                found.add(((a << 20 | b) << 20 | c) << 20 | d | IN_RUN)
    return frozenset(found)


def _trained(sample: Sample) -> Spans:
    """Return the parts of a row that have labels."""
    spans, start = [], 0
    for trained, run in groupby(label != IGNORE_INDEX for label in sample.labels):
        end = start + sum(1 for _ in run)
        if trained:
            spans.append((start, end))
        start = end
    return tuple(spans)
