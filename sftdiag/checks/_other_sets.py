"""A set whose answers are strangers' to their prompts, beside one of the same kind with its own.

Words that only some prompts share with their answers do not tell, in a set alone, a task without
them from answers that were mixed up. Another set of the run does, where its rows are of the same
kind: there the own answer stands above strangers' in the mean, and here among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from statistics import fmean, median, stdev
from typing import NamedTuple

from sftdiag.checks._matching import Matches, replies_of
from sftdiag.checks._token_distance import distance, own_tokens, within
from sftdiag.samples import Sample, Split

CHANCE = 0.5
"""Mean rank of the own answer among those of all rows where it is a stranger's."""

SURE = 4.0
"""Standard errors by which the other set's own answers stand above chance, and above those here: by
chance in one of 30,000 sets. Definitions of words, 256 rows beside 96: 6.8; descriptions of
functions, 256 beside 100: 4.5 to 5.4."""

NONE = 3.0
"""Standard errors above chance up to which answers are strangers'."""

PART = 0.25
"""Of what the other set's answers stand above chance, the share that those here may. Healthy sets
of one kind have 0.137 beside 0.199, 0.137 beside 0.181 and 0.025 beside 0.040, answers that were
mixed up 0.001 beside 0.199; where a quarter is right, 0.037 is above :data:`NONE`."""

APART = 0.1
"""How much farther the tokens of two sets may be from each other than those of parts of one, in
their prompts and in their answers. Sets of one kind: 0.01 at most; definitions of words against
descriptions of functions: 0.62 and 0.15."""

LONGER = 1.5
"""Factor between the medians of the lengths: longer parts share more words."""


class Standing(NamedTuple):
    """How far the own answers of a set stand above strangers', in the mean over its rows.

    Attributes:
        rows: that were compared.
        above: the mean, 0 where they are strangers'.
        error: its standard error.
    """

    rows: int
    above: float
    error: float

    @classmethod
    def of(cls, each: Sequence[float]) -> Standing:
        """Return it from each row's."""
        return cls(len(each), fmean(each), stdev(each) / sqrt(len(each)))


class Strangers(NamedTuple):
    """A set whose answers are strangers', and the one beside it whose answers are its own."""

    here: Standing
    other: str
    there: Standing


def strangers(
    split: Split, others: Iterable[Split], standing: Callable[[str], Standing]
) -> Strangers | None:
    """Return why the answers of a set are strangers', or None where no other set says so.

    Args:
        split: the set.
        others: sets to hold it against.
        standing: of a set, by its name.
    """
    here = standing(split.name)
    if here.above > NONE * here.error:
        return None
    for other in others:
        there = standing(other.name)
        # Where nothing is shared there is no scatter: the noise is that of a set with own answers.
        noise = there.error * sqrt(1 + there.rows / here.rows)
        if there.above - max(0.0, here.above) < SURE * noise or here.above > PART * there.above:
            continue
        if of_one_kind(split, other):
            return Strangers(here, other.name, there)
    return None


def by_words(matches: Matches) -> Standing:
    """Return where the own answers of a set rank among all by the words of their prompts."""
    return Standing.of([matches.rank(index) - CHANCE for index in range(len(matches.rows))])


def of_one_kind(one: Split, other: Split) -> bool:
    """Return whether the prompts of two sets are of one kind, and their answers."""
    for reply in (False, True):
        here, there = _parts(one, reply=reply), _parts(other, reply=reply)
        medians = [median(len(part.input_ids) for part in side) for side in (here, there)]
        if max(medians) > LONGER * max(1, min(medians)):
            return False
        few, many = sorted(own_tokens(here, there), key=len)
        if distance(few, many) - within(many, len(few)) > APART:
            return False
    return True


def _parts(split: Split, *, reply: bool) -> list[Sample]:
    """Return the replies of a set's rows, or all but them."""
    parts = []
    for sample in split.samples:
        spans = replies_of(sample)
        said = {place for start, end in spans for place in range(start, end)}
        chosen = (token for place, token in enumerate(sample.input_ids) if (place in said) is reply)
        tokens = tuple(chosen)
        parts.append(Sample(tokens, tokens))
    return parts
