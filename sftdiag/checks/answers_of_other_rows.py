"""SFT419 answers-of-other-rows: the answers stand in other rows than their prompts.

Sees: prompts that share rare tokens with the answer of the row before (or after), as an answer
shares them with its prompt, while their own answers share no more with them than those of strangers
do. A match is an overlap, weighted by how rare the tokens are, that at most 2 % of the strangers'
answers reach; tokens of a fifth of the rows weigh nothing, so that no template matches. And prompts
of a small set whose answers were shuffled: they match one other answer by far, and it them. Where
answers are labels, which share no words with their prompts, prompts that come again tell: their
answers agree when they are their own, and no more than any two where they are other rows'. And a
set whose answers share nothing with their prompts, while those of another set of the run, of the
same kind, do: where only some answers hold a word of their prompts, no set tells it by itself. With
probes, where words do not tell, the model before training is asked the same: by how many nats an
answer is likelier under its own prompt than under another row's.

Cannot see: tasks whose prompts and answers share no words (most translations, labels of prompts
that come once), which are skipped unless the model is asked and can read them; answers that slipped
by more than a row or were shuffled, where only some of the rows are looked at and no other set has
its own; a slip in a part of the rows; packed rows. Left alone are rows whose neighbours are alike
(sorted by topic, a dialogue continued), prompts that another answer makes up (chains of utterances,
also corrections that slipped) and rows that have each other's answers (counterparts).
Is wrong where prompts quote a part of another row's answer, and answers share no words with their
own prompts (translations that carry their context on): so all but the next row's answer make a
warning only, and a fix says how to leave it out. An error where another set of the run, of the same
kind, has answers of its own: then the task is none of these, and the training rows teach to answer
another question, which cost fine-tunes of a small model a third of what their twins learned.

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

from collections.abc import Mapping, Sequence
from functools import partial
from math import sqrt
from typing import ClassVar, NamedTuple

from sftdiag.checks._matching import LEVEL, Matches, Row, rows_of
from sftdiag.checks._other_sets import CHANCE as RANDOM
from sftdiag.checks._other_sets import SURE as CLEAR
from sftdiag.checks._other_sets import Standing, by_words, of_one_kind, strangers
from sftdiag.checks._same_prompts import same_prompts
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import UNREAD, FixText, Observation, Skip
from sftdiag.samples import Split

LEAST_ROWS = 50
"""Rows with a reply: among fewer the first rank of all is not below LEVEL."""

LEAST_MATCHES = 20
"""Prompts that match the neighbour's answer and not their own. Of the 128 pairs of a sample 2.6
match by chance: 20 are 11 standard deviations above, so that what is left is structure."""

SURE = 6.0
"""Standard deviations of the matches above chance, which are more than 20 among many rows."""

FAR = 4.0
"""Standard deviations of the sign test of the neighbour's answer against the own one: 20 to 0 is at
4.5, 30 to 5 at 4.2."""

LEAST_ASKED = 24
"""Rows of a set that the model was asked of, or that another is held against: the error of a mean
over fewer is not known well."""

CHANCE = 4.0
"""Standard deviations above chance up to which matches are no more than strangers', 6 % of 256
rows: so few must the own answers have, and the neighbours' on the other side, who match where rows
come in pairs. Own answers to such questions match in 30 to 45 %."""


MIXED = 0.2
"""Share of the prompts that find their answer in a row that is no neighbour: of questions that are
mixed up 30 to 90 % do, of prompts and answers without a word in common 5 % at most."""

PROVABLE = ("previous", "elsewhere", "strange")
"""What the words of the rows say; by labels and by the model's own reading nothing is proven."""


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
        sets = {split.name: rows_of(split) for split in inputs.splits}
        enough = {name: rows for name, rows in sets.items() if len(rows) >= LEAST_ROWS}
        if not enough:
            return Skip("few_rows" if any(sets.values()) else "no_replies", {"rows": LEAST_ROWS})
        matches = {n: Matches(rows) for n, rows in sets.items() if len(rows) >= LEAST_ASKED}
        judged = {name: self._judged(name, matches[name]) for name in enough}
        unseen = [s for s in inputs.splits if s.name in judged and judged[s.name] is None]
        sound = [s for s in inputs.splits if judged.get(s.name) is True]
        # Few rows do not say of themselves whose answers they have; their mean may, of others.
        few = [s for s in inputs.splits if s.name in matches and s.name not in judged]
        for split in unseen:
            judges = (
                partial(self._by_prompts, split),
                partial(self._by_strangers, split, [*sound, *few], matches),
                partial(self._by_model, split, inputs),
            )
            said = (judge() for judge in judges)
            judged[split.name] = next((each for each in said if each is not None), None)
        found = [seen for seen in judged.values() if isinstance(seen, Observation)]
        if found:
            return [_proven(seen, inputs, sound) for seen in found]
        # The training rows say whether the task is one whose answers can be told from strangers'.
        if judged[min(judged, key=_train_first)] is not None:
            return ()
        if not inputs.gains:
            rows = max((len(sets[split.name]) for split in inputs.evaluations), default=0)
            if 0 < rows < LEAST_ROWS:
                return Skip("few_evaluated", {"rows": rows, "least": LEAST_ROWS})
            return Skip("no_shared_words")
        asked = {series: len(gains) for series, gains in inputs.gains.items()}
        told = ", ".join(f"{series}: {rows}" for series, rows in asked.items())
        return Skip(UNREAD, {"asked": told, "least": LEAST_ASKED})

    def _judged(self, series: str, matches: Matches) -> Observation | bool | None:
        """Return what is wrong with a set, True when its answers are its own, None when unseen."""
        rows, own = matches.rows, _own(matches)
        if own is None:
            return True
        for lag, variant in ((1, "next"), (-1, "previous")):
            slip = _slip(matches, own, lag)
            if slip is not None:
                return self._found(series, rows, variant, slip)
        mixed = _mixed(matches, own)
        return None if mixed is None else self._found(series, rows, "elsewhere", mixed)

    def _by_prompts(self, split: Split) -> Observation | bool | None:
        """Return the same of answers without words of their prompts, by prompts that come again."""
        same = same_prompts(split)
        if same is None or not same.blind:
            return True if same is not None and same.sound else None
        return self.observation(
            Severity.WARNING,
            series=split.name,
            variant="blind",
            evidence={
                "rows": len(same.rows),
                "pairs": same.pairs,
                "agree": same.agree,
                "chance": same.chance * same.pairs,
            },
            fixes=(FixText("join"), FixText("slip"), FixText("compare")),
            example=same.rows[0],
        )

    def _by_model(self, split: Split, inputs: Inputs) -> Observation | bool | None:
        """Return the same by what the model makes of the prompts, where it was asked."""
        asked = {n: Standing.of(g) for n, g in inputs.gains.items() if len(g) >= LEAST_ASKED}
        if split.name not in asked:
            return None
        here = asked[split.name]
        if here.above > CLEAR * here.error:
            return True
        others = (s for s in inputs.splits if s.name in asked and s is not split)
        seen = strangers(split, others, asked.__getitem__)
        if seen is None:
            return None
        return self.observation(
            Severity.WARNING,
            series=split.name,
            variant="unread",
            evidence={
                "rows": here.rows,
                "gain": here.above,
                "error": here.error,
                "other": seen.other,
                "other_rows": seen.there.rows,
                "other_gain": seen.there.above,
                "other_error": seen.there.error,
            },
            fixes=(FixText("join"), FixText("compare")),
            example=0,
        )

    def _by_strangers(
        self, split: Split, sound: Sequence[Split], matches: Mapping[str, Matches]
    ) -> Observation | None:
        """Return the same by another set of the run whose answers are surely its own."""
        seen = strangers(split, sound, lambda name: by_words(matches[name]))
        if seen is None:
            return None
        return self.observation(
            Severity.WARNING,
            series=split.name,
            variant="strange",
            evidence={
                "rows": seen.here.rows,
                "rank": RANDOM + seen.here.above,
                "other": seen.other,
                "other_rows": seen.there.rows,
                "other_rank": RANDOM + seen.there.above,
            },
            fixes=(FixText("join"), FixText("compare")),
            example=0,
        )

    def _found(self, series: str, rows: Sequence[Row], variant: str, slip: _Slip) -> Observation:
        # Prompts may take up what another row answered, which no row tells from a slip.
        sure = variant == "next"
        return self.observation(
            Severity.ERROR if sure else Severity.WARNING,
            series=series,
            variant=variant,
            evidence={
                "rows": len(slip.matching),
                "own": slip.own,
                "seen": slip.seen,
                "chance": LEVEL * slip.seen,
            },
            fixes=(
                *(FixText(key) for key in ("join", "slip", "compare")),
                *(() if sure else (FixText("quoted"),)),
            ),
            example=rows[slip.matching[0]].sample,
        )


class _Slip(NamedTuple):
    """Neighbours compared, rows that match the other's answer only, and matches with the own."""

    seen: int
    matching: list[int]
    own: int


def _own(matches: Matches) -> set[int] | None:
    """Return the rows that match their own answers; None once they are more than by chance."""
    most = _by_chance(len(matches.rows), CHANCE)
    own: set[int] = set()
    for index in range(len(matches.rows)):
        if matches.answer(index, index):
            own.add(index)
            if len(own) > most:
                return None
    return own


def _slip(matches: Matches, own: set[int], lag: int) -> _Slip | None:
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


def _mixed(matches: Matches, own: set[int]) -> _Slip | None:
    """Return the rows whose answers stand in rows that are no neighbours, or None."""
    alone = {i: j for i, j in matches.alone().items() if not matches.near(i, j)}
    matching = [
        i for i, j in alone.items() if not matches.repeats(i, j) and not matches.alike(i, j)
    ]
    seen = len(matches.rows)
    if len(matching) < max(LEAST_MATCHES, MIXED * seen, len(alone) / 2):
        return None
    # Rows that have each other's answers are counterparts, such as two directions of a translation.
    back = sum(matches.answer(alone[i], i) for i in matching)
    return _Slip(seen, matching, len(own)) if back <= _by_chance(len(matching), CHANCE) else None


def _proven(seen: Observation, inputs: Inputs, sound: Sequence[Split]) -> Observation:
    """Return it as an error where a set of the same kind, whose answers are its own, proves it."""
    if seen.series != inputs.train.name or seen.variant not in PROVABLE:
        return seen
    if not any(of_one_kind(inputs.train, other) for other in sound):
        return seen
    return seen.replace(severity=Severity.ERROR)


def _train_first(series: str) -> bool:
    return series != "train"


def _pairs(matches: Matches, lag: int) -> list[tuple[int, int]]:
    """Return the indices of rows, each with that of the row ``lag`` places further on."""
    beside = ((index, matches.beside(index, lag)) for index in range(len(matches.rows)))
    return [(index, other) for index, other in beside if other is not None]


def _by_chance(seen: int, deviations: float) -> float:
    """Return how many strangers' answers match at most, at so many standard deviations."""
    return LEVEL * seen + deviations * sqrt(LEVEL * (1 - LEVEL) * seen)
