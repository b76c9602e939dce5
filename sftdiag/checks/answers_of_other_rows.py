"""SFT419 answers-of-other-rows: the answers slipped by a row against their prompts.

Sees: prompts that share rare tokens with the answer of the row before (or after), as an answer
shares them with its prompt, while their own answers share no more with them than those of strangers
do. A match is an overlap, weighted by how rare the tokens are, that at most 2 % of the strangers'
answers reach; tokens of a fifth of the rows weigh nothing, so that no template matches.

Cannot see: tasks whose prompts and answers share no words (labels, most translations); answers that
slipped by more than a row, or rows shuffled after they did; a slip in a part of the rows; packed
rows. Left alone are rows whose neighbours are alike (sorted by topic, a dialogue continued) and
prompts that the neighbour's answer makes up (chains of utterances, also corrections that slipped).

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> def row(i):  # asks of 1000 + i, and says something of what the row before asks
    ...     ids = (1000 + i, 7, 999 + i, 3000 + i, 5000 + i)
    ...     return Sample(ids, ids, answers=((2, 5),))
    >>> split = Split("train", tuple(map(row, range(100))), 100, places=tuple(range(100)))
    >>> found = AnswersOfOtherRowsCheck().look(Inputs(train=split))
    >>> [(one.severity.label, one.variant, one.evidence["rows"]) for one in found]
    [('error', 'next', 99)]

References:
    Spärck Jones 1972, A statistical interpretation of term specificity: the weight of a rare word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from math import ceil, log, sqrt
from typing import ClassVar, NamedTuple

from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import IGNORE_INDEX, Sample, Spans, Split

LEVEL = 0.02
"""Share of strangers' answers that may overlap as much: as often a stranger's answer matches."""

LEAST_ROWS = 50
"""Rows with a reply: among fewer the first rank of all is not below LEVEL."""

MOST_ROWS = 512
"""Rows compared at most: more take time and do not change what was found among so many."""

COMMON = 0.2
"""Share of the rows from which on a token weighs nothing: a template's, or a stop word. Any share
of 5 to 50 % gives the same matches on questions to a dictionary and to a manual; from 13 % on rows
that are put together from a few words match, too."""

MOST_TOKENS = 64
"""Tokens of a prompt that are looked for, the rarest: of long prompts the others cost time and tell
few answers apart."""

LEAST_MATCHES = 20
"""Prompts that match the neighbour's answer and not their own. Of the 128 pairs of a sample 2.6
match by chance: 20 are 11 standard deviations above, so that what is left is structure."""

SURE = 6.0
"""Standard deviations of the matches above chance, which are more than 20 among many rows."""

FAR = 4.0
"""Standard deviations of the sign test of the neighbour's answer against the own one: 20 to 0 is at
4.5, 30 to 5 at 4.2."""

CHANCE = 4.0
"""Standard deviations above chance up to which matches are no more than strangers', 6 % of 256
rows: so few must the own answers have, and the neighbours' on the other side, who match where rows
come in pairs. Own answers to such questions match in 30 to 45 %."""

REPEATED, LONG = 0.8, 8
"""Share of an answer's weight found in a prompt from which on the prompt says it again, where the
answer has so many tokens that weigh or weighs half of the prompt. An answer that is taken from its
prompt (a name, a date) is shorter, and one of a sentence says something new."""


class AnswersOfOtherRowsCheck(Check):
    """Compares each prompt with its own answer, the neighbours' and strangers'."""

    code: ClassVar[str] = "SFT419"
    name: ClassVar[str] = "answers-of-other-rows"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("poor-data",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.context.packing:
            return Skip("packed_replies")
        if all(split.places is None for split in inputs.splits):
            return Skip("no_places")
        sets = {split.name: _rows(split) for split in inputs.splits}
        most = max(map(len, sets.values()))
        if most < LEAST_ROWS:
            return Skip("few_rows" if most else "no_replies", {"rows": LEAST_ROWS})
        return [
            found
            for name, rows in sets.items()
            if len(rows) >= LEAST_ROWS and (found := self._found(name, rows)) is not None
        ]

    def _found(self, series: str, rows: Sequence[_Row]) -> Observation | None:
        matches = _Matches(rows)
        own = _own(matches)
        if own is None:
            return None
        for lag, variant in ((1, "next"), (-1, "previous")):
            slip = _slip(matches, own, lag)
            if slip is not None:
                return self.observation(
                    Severity.ERROR,
                    series=series,
                    variant=variant,
                    evidence={
                        "rows": len(slip.matching),
                        "own": slip.own,
                        "seen": slip.seen,
                        "chance": LEVEL * slip.seen,
                    },
                    fixes=(FixText("join"), FixText("compare")),
                    example=rows[slip.matching[0]].sample,
                )
        return None


class _Row(NamedTuple):
    """A row: its index among the samples, its place in the set, and its distinct tokens."""

    sample: int
    place: int
    prompt: frozenset[int]
    answer: frozenset[int]


class _Slip(NamedTuple):
    """Neighbours compared, rows that match the other's answer only, and matches with the own."""

    seen: int
    matching: list[int]
    own: int


class _Matches:
    """Which answers match which prompts, against those of strangers."""

    def __init__(self, rows: Sequence[_Row]) -> None:
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


def _own(matches: _Matches) -> set[int] | None:
    """Return the rows that match their own answers; None once they are more than by chance."""
    most = _by_chance(len(matches.rows), CHANCE)
    own: set[int] = set()
    for index in range(len(matches.rows)):
        if matches.answer(index, index):
            own.add(index)
            if len(own) > most:
                return None
    return own


def _slip(matches: _Matches, own: set[int], lag: int) -> _Slip | None:
    """Return the rows whose answers stand ``lag`` rows further on, where that is so, or None."""
    pairs, back = _pairs(matches, lag), _pairs(matches, -lag)
    seen = len(pairs)
    if sum(matches.answer(*pair) for pair in back) > _by_chance(len(back), CHANCE):
        return None
    other = [pair for pair in pairs if matches.answer(*pair)]
    only = [pair for pair in other if pair[0] not in own]
    matching = [i for i, j in only if not matches.repeats(i, j) and not matches.alike(i, j)]
    with_own = own.intersection(index for index, _ in pairs)
    against = len(with_own.difference(index for index, _ in other))
    least = max(LEAST_MATCHES, _by_chance(seen, SURE), len(only) / 2)
    if len(matching) < least:
        return None
    far = (len(matching) - against) / sqrt(len(matching) + against)
    return _Slip(seen, matching, len(with_own)) if far >= FAR else None


def _pairs(matches: _Matches, lag: int) -> list[tuple[int, int]]:
    """Return the indices of rows, each with that of the row ``lag`` places further on."""
    beside = ((index, matches.beside(index, lag)) for index in range(len(matches.rows)))
    return [(index, other) for index, other in beside if other is not None]


def _by_chance(seen: int, deviations: float) -> float:
    """Return how many strangers' answers match at most, at so many standard deviations."""
    return LEVEL * seen + deviations * sqrt(LEVEL * (1 - LEVEL) * seen)


def _rows(split: Split) -> list[_Row]:
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
            rows.append(_Row(index, place, prompt, answer))
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
