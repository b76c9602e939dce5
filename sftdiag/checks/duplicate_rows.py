"""SFT416 duplicate-rows: training rows that are the same, or nearly; prompts with several answers.

Sees: rows whose sets of token 5-grams agree by 80 % or more with an earlier row's, estimated from
the 32 smallest of their hashes. Each copy of a row is one more epoch on it. And prompts that come
again with answers that have no more in common than those of strangers.

Cannot see: from a sample of the rows, copies whose other part was not looked at; the share is then
a lower limit; ``preflight(trainer, full=True)`` looks at all. Nor whether several answers of a
prompt that share no words are all right, as the senses of a word are: the model can still not know
which of them is wanted.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> ids = [tuple(range(10 * i, 10 * i + 10)) for i in range(40)]
    >>> rows = tuple(Sample(row, row) for row in ids[:20] + ids[:20])
    >>> found = DuplicateRowsCheck().look(Inputs(train=Split("train", rows, 40)))
    >>> [(one.severity.label, one.evidence["rows"]) for one in found]
    [('warning', 20)]

References:
    Broder 1997, On the resemblance and containment of documents: the sketch.
    Lee et al. 2022 (arXiv 2107.06499): duplicates are emitted ten times as often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from sftdiag.checks._contradictions import contradictions
from sftdiag.checks._same_prompts import same_prompts
from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import LEAST_ROWS, Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Split
from sftdiag.token_sets import gram_hashes, in_many, without

GRAM, SKETCH, ALIKE = 5, 32, 0.8
"""Tokens of a gram, hashes of a sketch, and the agreement from which rows are near-duplicates: a
phrase in common is below, one name changed in a sentence or two is above."""

TEMPLATE_ROWS, NEAREST = 100, 3
"""A piece of so many different rows is the template's and finds no copy; of the rest the rows with
the most pieces in common are compared. Both keep the work in proportion to the rows."""

COMMON = 0.5
"""Share of the different rows from which on a piece says nothing of a copy: a list of tools or a
system prompt is in all of them, and longer than what they say."""

MANY = 0.2
"""Share of copies for a warning: the set is a fifth smaller than it looks; and of prompts that have
another answer already. Half of the latter is a note."""


class DuplicateRowsCheck(Check):
    """Looks for rows that repeat an earlier one."""

    code: ClassVar[str] = "SFT416"
    name: ClassVar[str] = "duplicate-rows"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("low-diversity-data", "poor-data")

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        if len(split.samples) < LEAST_ROWS:
            return Skip("few_rows", {"rows": LEAST_ROWS})
        return (*self._copied(split), *self._contradicting(split))

    def _copied(self, split: Split) -> Sequence[Observation]:
        """Return what repeats rows, if anything does."""
        copies = _copies([sample.input_ids for sample in split.samples])
        if len(copies) < TOLERATED_ROWS * len(split.samples):
            return ()
        return [
            self.observation(
                self._severity(len(copies), len(split.samples)),
                evidence=share_of_rows(len(copies), split),
                fixes=(FixText("remove"), FixText("sources")),
                example=copies[0],
            )
        ]

    def _contradicting(self, split: Split) -> Sequence[Observation]:
        """Return what repeats prompts with other answers, if anything does."""
        found = contradictions(split) if same_prompts(split) is None else None
        if found is None or len(found.rows) < MANY / 2 * found.seen:
            return ()
        return [
            self.observation(
                self._severity(len(found.rows), found.seen),
                cause="poor-data",
                variant="contradicting",
                evidence=share_of_rows(len(found.rows), split, found.seen)
                | {"prompts": found.prompts},
                fixes=(FixText("one_answer"), FixText("tell_apart")),
                example=found.rows[0],
            )
        ]

    @staticmethod
    def _severity(rows: int, seen: int) -> Severity:
        return Severity.WARNING if rows >= MANY * seen else Severity.INFO


def _copies(rows: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the indices of rows that are nearly an earlier one."""
    by_hash: dict[int, list[int]] = {}
    sketches: list[frozenset[int]] = []
    copies = []
    grams = {row: gram_hashes(row, GRAM) for row in dict.fromkeys(rows)}
    common = in_many(list(grams.values()), COMMON * max(LEAST_ROWS, len(grams)))
    for index, row in enumerate(rows):
        own = without(grams[row], common)
        sketch = frozenset((own if len(own) else grams[row])[:SKETCH].tolist())
        sketches.append(sketch)
        held = (by_hash.setdefault(value, []) for value in sketch)
        rare = [earlier for earlier in held if len(earlier) < TEMPLATE_ROWS]
        nearest = Counter(chain(*rare)).most_common(NEAREST)
        if any(_agreement(sketch, sketches[other]) >= ALIKE for other, _ in nearest):
            copies.append(index)
        else:
            for earlier in rare:
                earlier.append(index)
    return copies


def _agreement(one: frozenset[int], other: frozenset[int]) -> float:
    smallest = sorted(one | other)[:SKETCH]
    return sum(value in one and value in other for value in smallest) / len(smallest)
