"""SFT420 rows-in-blocks: the rows are taken as they stand, and stand sorted by kind.

Sees: a last half, or a last quarter, with other tokens than the rows before it, where the trainer
takes the rows in the order of the set. The distance is that of SFT414. It is an error where the
evaluation shows the harm: no evaluation set is like these last rows, and one is like the first.

Cannot see: kinds that differ in meaning and not in their tokens; a block of under a twentieth of
the rows; kinds that alternate, and a block in the middle; what a sampler of the user's own does. A
curriculum that ends on the kind that is evaluated is a warning only.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> def rows(first):
    ...     tokens = [(first + i % 7, first + i % 5, first + 9) for i in range(60)]
    ...     return tuple(Sample(ids, ids) for ids in tokens)
    >>> train = Split("train", rows(0) + rows(100), 120, places=tuple(range(120)))
    >>> inputs = Inputs(
    ...     RunContext(sampler="sequential"), train, (Split("eval", rows(0), 60),)
    ... )
    >>> [(one.severity.label, one.variant) for one in RowsInBlocksCheck().look(inputs)]
    [('error', 'evaluated')]

References:
    McCloskey and Cohen 1989, Catastrophic interference in connectionist networks: what is learned
    later undoes what was learned before. Bottou 2012, Stochastic gradient descent tricks: shuffle
    the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from sftdiag.checks._token_distance import FARTHER, LEAST_ROWS, Rows, distance, own_tokens, within
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.context import RANDOM, SEQUENTIAL, RunContext
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample, Split

SHARES = (1 / 2, 1 / 4)
"""Shares of the rows, at the end, that are held against the rows before. Half shows two blocks
best, a quarter many sources one after another or a small last one. Above the distance within parts
are, of 256 rows without their template: shuffled sets up to 0.03, rows sorted by length up to 0.13,
manuals in their order up to 0.2, two kinds of questions about words, commands and Python 0.39 to
0.7; of 80 rows shuffled sets up to 0.05; of ten texts of ten rows each, one after another, 0.15 on
average."""

ALIKE = FARTHER / 2
"""Up to here above the distance within parts are rows of one kind: chance makes up to 0.05. Well
below FARTHER, since rows drawn from all kinds are as far from the first rows as from the last."""


class RowsInBlocksCheck(Check):
    """Compares the tokens of the last rows with those before, and with the evaluation's."""

    code: ClassVar[str] = "SFT420"
    name: ClassVar[str] = "rows-in-blocks"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("data-order",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.context.sampler is None:
            return Skip("no_order")
        if inputs.context.sampler != SEQUENTIAL:
            return ()
        places = inputs.train.places
        if places is None:
            return Skip("no_places")
        taken = _taken(inputs.context, inputs.train)
        seen = inputs.train.samples[: sum(place < taken for place in places)]
        least = round(LEAST_ROWS / min(SHARES))
        if len(seen) < least:
            return Skip("few_rows", {"rows": least})
        rows = own_tokens(seen)[0]
        ends = [end for share in SHARES if (end := _end(rows, share)).excess > FARTHER]
        return [self._found(inputs, seen, ends)] if ends else ()

    def _found(self, inputs: Inputs, seen: Sequence[Sample], ends: Sequence[_End]) -> Observation:
        """Return what is said of the end that shows harm, else of the one that is farthest."""
        harms = {end: _begun_with(inputs.evaluations, seen, end) for end in ends}
        block = max(ends, key=lambda end: (harms[end] is not None, end.excess))
        begun_with = harms[block]
        evidence: dict[str, Scalar] = {
            "sampler": SEQUENTIAL,
            "share": block.share,
            "distance": block.distance,
            "within": block.within,
        }
        severity, variant = Severity.WARNING, "default"
        if begun_with is not None:
            severity, variant = Severity.ERROR, "evaluated"
            evidence |= begun_with._asdict()
        change = {"SFTConfig.train_sampling_strategy": (SEQUENTIAL, RANDOM)}
        return self.observation(
            severity,
            variant=variant,
            evidence=evidence,
            fixes=(FixText("random", changes=change), FixText("shuffle"), FixText("on_purpose")),
            example=len(seen) - block.rows,
        )


class _End(NamedTuple):
    """The last rows: their share and number, and how far they are from those before."""

    share: float
    rows: int
    distance: float
    within: float

    @property
    def excess(self) -> float:
        return self.distance - self.within


class _BegunWith(NamedTuple):
    """An evaluation set that is like the first rows, and its distance to the first and the last."""

    evaluation: str
    first: float
    last: float


def _taken(context: RunContext, split: Split) -> float:
    """Return how many rows of the set the run takes: a short one never reaches the last."""
    total = split.total or len(split.samples)
    if context.num_train_epochs is not None:
        return context.num_train_epochs * total
    if context.max_steps and context.effective_batch_size:
        return context.max_steps * context.effective_batch_size
    return total


def _end(seen: Rows, share: float) -> _End:
    rows = int(share * len(seen))
    return _End(share, rows, distance(seen[-rows:], seen[:-rows]), within(seen, rows))


def _begun_with(
    evaluations: Sequence[Split], seen: Sequence[Sample], end: _End
) -> _BegunWith | None:
    """Return the set that is most like the first rows, where none is like the last ones."""
    if any(len(split.samples) < LEAST_ROWS for split in evaluations):
        # A set that was not seen may be of the last rows' kind.
        return None
    found = []
    rows, *sets = own_tokens(seen, *(split.samples for split in evaluations))
    for split, evaluated in zip(evaluations, sets, strict=True):
        usual = within(rows, min(len(evaluated), end.rows))
        first = distance(evaluated, rows[: end.rows])
        last = distance(evaluated, rows[-end.rows :])
        if last - usual <= FARTHER:
            return None
        if first - usual <= ALIKE:
            found.append(_BegunWith(split.name, first, last))
    return min(found, key=lambda one: one.first, default=None)
