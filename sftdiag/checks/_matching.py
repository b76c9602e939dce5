"""Which answers match which prompts: by the rare tokens they share, against strangers' answers."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from sftdiag.samples import IGNORE_INDEX, Sample, Spans, Split
from sftdiag.token_sets import Overlaps, numbers, runs_of_four, union

if TYPE_CHECKING:
    from sftdiag.token_sets import Numbers, Shares

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

IN_RUN = 1 << 40
"""Is added to the number of a run, which is then above every token's."""

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
    prompt: Numbers
    answer: Numbers


class Matches:
    """Which answers match which prompts, against those of strangers."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.in_runs = any(side[-1] >= IN_RUN for row in rows[:1] for side in row[2:] if len(side))
        self.at = {row.place: index for index, row in enumerate(rows)}
        pairs = [(row.prompt, row.answer) for row in rows]
        self._overlaps = Overlaps(pairs, COMMON * len(rows), MOST_TOKENS)
        self._of_prompts: dict[int, Shares] = {}

    def beside(self, index: int, lag: int) -> int | None:
        """Return the index of the row ``lag`` places further on, if it was looked at."""
        return self.at.get(self.rows[index].place + lag)

    def near(self, index: int, other: int) -> bool:
        """Return whether a row is another, or stands beside it."""
        return abs(self.rows[index].place - self.rows[other].place) <= 1

    def answer(self, index: int, other: int) -> bool:
        """Return whether a prompt matches another row's answer, or its own."""
        return self._stands_out(self._overlap(index), index, other)

    def alike(self, index: int, other: int) -> bool:
        """Return whether two prompts are more alike than strangers'."""
        return self._stands_out(self._overlaps.with_first(index), index, other)

    def repeats(self, index: int, other: int) -> bool:
        """Return whether a prompt says again what another row's answer says."""
        tokens, said = self._overlaps.second(other)
        least = LONG * (RUNS_A_WORD if self.in_runs else 1)
        long = tokens >= least or said >= self._overlaps.first(index)[1] / 2
        return long and self._overlaps.both(index, other)[1] >= REPEATED * said

    def rank(self, index: int) -> float:
        """Return the share of other rows' answers that share less with a prompt than its own does.

        Those that share as much count half: among strangers' answers it is 0.5 in the mean.
        """
        return below(self._overlap(index), index) / (len(self.rows) - 1)

    def _overlap(self, index: int) -> Shares:
        """Return how much each answer shares with a prompt, in nats."""
        overlap = self._of_prompts.get(index)
        if overlap is None:
            overlap = self._of_prompts[index] = self._overlaps.with_second(index)
        return overlap

    def _stands_out(self, overlap: Shares, index: int, other: int) -> bool:
        own = overlap[other]
        if not own:
            return False
        near = {index, other, self.beside(index, 1), self.beside(index, -1)} - {None}
        strangers = len(self.rows) - len(near)
        reached = int((overlap >= own).sum()) - sum(bool(overlap[i] >= own) for i in near)
        return reached + 1 <= LEVEL * (strangers + 1)

    def alone(self) -> dict[int, int]:
        """Return which prompts and answers belong together, whatever rows they stand in.

        Each is the other's best match by far: the next best shares at most :data:`NEXT_BEST` of it.
        """
        found: dict[int, int] = {}
        of_answers: list[tuple[float, int]] = [(0.0, -1)] * len(self.rows)
        for index in range(len(self.rows)):
            overlap = self._overlap(index).tolist()
            of_answers = [
                (shared, index) if shared > best[0] else best
                for shared, best in zip(overlap, of_answers, strict=True)
            ]
            best, *others = nlargest(2, overlap)
            if best and (not others or others[0] <= NEXT_BEST * best):
                found[index] = overlap.index(best)
        return {
            index: other
            for index, other in found.items()
            if of_answers[other][1] == index and self._shares(index, other)
        }

    def _shares(self, index: int, other: int) -> bool:
        """Return whether a prompt and an answer share more than a word."""
        tokens, both = self._overlaps.both(index, other)
        shorter = min(self._overlaps.first(index)[1], self._overlaps.second(other)[1])
        return tokens >= 2 and both >= SHARED * shorter


def below(shares: Shares, other: int) -> float:
    """Return how many share less than another one does; those that share as much count half."""
    own = shares[other]
    return int((shares < own).sum()) + (int((shares == own).sum()) - 1) / 2


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
    spans = [replies_of(sample) for *_, sample in looked_at]
    said = sorted(sum(end - start for start, end in row) for row in spans)
    in_runs = len(vocabulary) <= SMALL_VOCABULARY and said[len(said) // 2] >= SENTENCE
    letters = numbers(sorted(vocabulary)) if in_runs else None
    rows = []
    for (index, place, sample), answers in zip(looked_at, spans, strict=True):
        prompt, answer = _features(sample.input_ids, answers, letters)
        if len(prompt) and len(answer):
            rows.append(Row(index, place, prompt, answer))
    return rows


def replies_of(sample: Sample) -> Spans:
    """Return a row's replies; where they are not known, the parts that have labels."""
    return sample.answers or _trained(sample.labels)


def _features(
    input_ids: tuple[int, ...], answers: Spans, letters: Numbers | None
) -> tuple[Numbers, Numbers]:
    """Return the distinct tokens outside and inside of a row's replies.

    Where tokens are the letters of an alphabet, their runs of four are among them.

    Examples:
        >>> outside, inside = _features((5, 6, 7, 8, 9), ((0, 5),), numbers((5, 6, 7, 8, 9)))
        >>> len(outside), len(inside)
        (0, 7)
    """
    ends = [0, *(end for span in answers for end in span), len(input_ids)]
    sides: tuple[list[Numbers], list[Numbers]] = ([], [])
    tokens = numbers(input_ids)
    runs = runs_of_four(tokens, letters) + IN_RUN if letters is not None else None
    for part, (start, end) in enumerate(pairwise(ends)):
        sides[part % 2].append(tokens[start:end])
        if runs is not None:
            last = min(end, start + MOST_IN_RUNS) - 3
            sides[part % 2].append(runs[start : max(start, last)])
    return union(sides[0]), union(sides[1])


def _trained(labels: tuple[int, ...]) -> Spans:
    """Return the parts of a row that have labels.

    Examples:
        >>> _trained((IGNORE_INDEX, 5, 6, IGNORE_INDEX, 7))
        ((1, 3), (4, 5))
    """
    trained = bytes(map(IGNORE_INDEX.__ne__, labels))
    spans, start = [], trained.find(1)
    while start >= 0:
        end = trained.find(0, start)
        end = len(labels) if end < 0 else end
        spans.append((start, end))
        start = trained.find(1, end)
    return tuple(spans)
