"""SFT414 eval-distribution-shift: the evaluation rows are unlike the training rows.

Sees: token frequencies that differ more between the sets than between parts of the training set of
the same size, and row lengths that do. The distance is the total variation: the share of tokens
that would have to be other ones.

Rows that are like a part of the training rows measure that part: a note. So are rows that differ
by their system turn alone.

Of several sets only the one that picks the best checkpoint, else one that is like the training
rows, else the first, can be a warning: a further set of another kind is a note.

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

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._lengths import quantile
from sftdiag.checks._token_distance import (
    FARTHER,
    LEAST_ROWS,
    distance,
    nearest,
    own_tokens,
    within,
)
from sftdiag.checks.base import Check, Inputs, without_evaluation, without_rows
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Split

LONGER = 3.0
"""Factor between the medians of the lengths from which the sets hold other kinds of rows."""


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
        seen = {split.name: self._compare(inputs, split) for split in splits}
        found = [one for one in seen.values() if one is not None]
        # A further set of another kind is one that is asked on purpose what the others do not say.
        chosen = _chosen(inputs, [name for name, one in seen.items() if one is None])
        return [
            one if len(inputs.evaluations) == 1 or one.series == chosen else _named(one)
            for one in found
        ]

    def _compare(self, inputs: Inputs, split: Split) -> Observation | None:
        train, evaluated = own_tokens(inputs.train.samples, split.samples)
        apart = distance(evaluated, train)
        usual = within(train, len(evaluated))
        medians = [
            quantile(sorted(len(sample.input_ids) for sample in samples), 0.5)
            for samples in (split.samples, inputs.train.samples)
        ]
        ratio = max(medians) / max(1, min(medians))
        evidence: dict[str, Scalar] = {
            "distance": apart,
            "within": usual,
            "eval_median": medians[0],
            "train_median": medians[1],
        }
        packed = bool(inputs.context.packing)
        if apart - usual > FARTHER and _by_system_turn(inputs.train, split):
            severity, variant = Severity.INFO, "system"
        elif apart - usual > FARTHER:
            severity, variant = Severity.WARNING, "default"
            part = nearest(evaluated, train)
            if len(part) >= LEAST_ROWS and distance(evaluated, part) - usual <= FARTHER:
                severity, variant = Severity.INFO, "part"
                evidence |= {"part": len(part), "rows": len(train)}
        elif ratio >= LONGER and not packed:
            severity, variant = Severity.INFO, "lengths"
        else:
            return None
        return self.observation(
            severity,
            series=split.name,
            variant=variant,
            evidence=evidence,
            fixes=(FixText("system"),)
            if variant == "system"
            else (FixText("split"), FixText("several")),
            example=0,
        )


def _by_system_turn(train: Split, split: Split) -> bool:
    """Return whether one set's rows have a system turn, and without it the sets are alike."""
    spoken = [any("system" in sample.roles for sample in each.samples) for each in (train, split)]
    if not any(spoken):
        return False
    trained, evaluated = own_tokens(train.samples, split.samples, each=True)
    usual = within(trained, len(evaluated))
    return distance(evaluated, trained) - usual <= FARTHER


def _chosen(inputs: Inputs, alike: Sequence[str]) -> str | None:
    """Return the set that the best checkpoint is chosen by: the one named, alike, or the first."""
    metric = inputs.context.metric_for_best_model or ""
    names = [split.name for split in inputs.evaluations]
    named = [name for name in names if metric.removeprefix("eval_").startswith(f"{name}_")]
    return next(iter((*named, *alike, *names)), None)


def _named(found: Observation) -> Observation:
    return found.replace(severity=Severity.INFO)
