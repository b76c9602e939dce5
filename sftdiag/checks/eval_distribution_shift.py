"""SFT414 eval-distribution-shift: the evaluation rows are unlike the training rows.

Sees: token frequencies that differ more between the sets than between parts of the training set of
the same size, and row lengths that do. The distance is the total variation: the share of tokens
that would have to be other ones.

Cannot see: another meaning in the same words.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> def rows(first):
    ...     tokens = [(first + i % 7, first + i % 5, first + 9) for i in range(40)]
    ...     return tuple(Sample(ids, ids) for ids in tokens)
    >>> inputs = Inputs(
    ...     train=Split("train", rows(0), 40), evaluations=(Split("eval", rows(100), 40),)
    ... )
    >>> [(one.severity.label, one.variant) for one in EvalDistributionShiftCheck().look(inputs)]
    [('warning', 'default')]

References:
    The guide, row 5: an evaluation loss that rises from the start may come from another
    distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from sftdiag.checks._lengths import quantile
from sftdiag.checks.base import Check, Inputs, without_evaluation, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample, Split

LEAST_ROWS = 20
"""Rows of each set: with fewer their own scatter hides any shift."""

FARTHER = 0.25
"""By how much the distance must exceed that between parts of the training set. Parts of one set
differ from each other by less than 0.05 in their distance to the rest; a set in another language or
of other topics is at 0.4 and beyond."""

LONGER = 3.0
"""Factor between the medians of the lengths from which the sets hold other kinds of rows."""

PARTS = 4
"""Parts of the training set that are compared with its rest."""


class EvalDistributionShiftCheck(Check):
    """Compares token frequencies and lengths of the sets."""

    code: ClassVar[str] = "SFT414"
    name: ClassVar[str] = "eval-distribution-shift"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("eval-distribution",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train) or without_evaluation(inputs)
        if skip is not None:
            return skip
        splits = [split for split in inputs.evaluations if len(split.samples) >= LEAST_ROWS]
        if not splits or len(inputs.train.samples) < 2 * LEAST_ROWS:
            return Skip("few_rows", {"rows": LEAST_ROWS})
        return [found for split in splits if (found := self._compare(inputs, split)) is not None]

    def _compare(self, inputs: Inputs, split: Split) -> Observation | None:
        train = inputs.train.samples
        distance = _distance(_tokens(split.samples), _tokens(train))
        within = _within(train, len(split.samples))
        medians = [
            quantile(sorted(len(sample.input_ids) for sample in samples), 0.5)
            for samples in (split.samples, train)
        ]
        ratio = max(medians) / max(1, min(medians))
        evidence = {
            "distance": distance,
            "within": within,
            "eval_median": medians[0],
            "train_median": medians[1],
        }
        packed = bool(inputs.context.packing)
        if distance - within > FARTHER:
            severity, variant = Severity.WARNING, "default"
        elif ratio >= LONGER and not packed:
            severity, variant = Severity.INFO, "lengths"
        else:
            return None
        return self.observation(
            severity,
            series=split.name,
            variant=variant,
            evidence=evidence,
            fixes=(FixText("split"),),
            example=0,
        )


def _tokens(samples: Iterable[Sample]) -> Counter[int]:
    return Counter(token for sample in samples for token in sample.input_ids)


def _distance(one: Counter[int], other: Counter[int]) -> float:
    """Return the total variation distance of two token frequencies, 0 to 1."""
    total, whole = max(1, one.total()), max(1, other.total())
    return 0.5 * sum(abs(one[token] / total - other[token] / whole) for token in one | other)


def _within(samples: Sequence[Sample], size: int) -> float:
    """Return how far parts of a set, of at most ``size`` rows, are from its rest."""
    size = min(size, len(samples) // 2)
    distances = []
    for part in range(PARTS):
        step = max(1, len(samples) // size)
        places = set(range(part % step, len(samples), step))
        chosen = [sample for i, sample in enumerate(samples) if i in places]
        rest = [sample for i, sample in enumerate(samples) if i not in places]
        if rest:
            distances.append(_distance(_tokens(chosen[:size]), _tokens(rest)))
    return max(distances, default=0.0)
