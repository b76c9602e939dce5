"""SFT413 train-rows-in-eval: evaluation rows that are training rows.

Sees: evaluation rows whose tokens are those of a training row, among the rows looked at. Where only
some of the training rows were, the share is scaled up: a row that is there was met with that
chance.

Cannot see: rows that say the same in other words, and those of a stream, of which take and skip
hold out other rows in each epoch (findings/held_out_rows_of_a_stream_are_trained.sh);
``preflight(trainer, full=True)`` and ``sftdiag inspect --full`` compare all rows.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> rows = tuple(Sample((5, i), (5, i)) for i in range(10))
    >>> inputs = Inputs(train=Split("train", rows, 10), evaluations=(Split("eval", rows[:4], 4),))
    >>> [(one.severity.label, one.evidence["share"]) for one in TrainRowsInEvalCheck().look(inputs)]
    [('warning', 1.0)]

References:
    Lee et al. 2022 (arXiv 2107.06499): overlap of the sets makes the evaluation look better than it
    is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import interval
from sftdiag.checks.base import Check, Inputs, without_evaluation, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Split

LEAST_MET = 3
"""Rows met in both sets for a warning: one or two may be stock phrases that any split repeats."""


STREAM = Skip("streaming")
"""Why a set's rows are not looked at, of one that reading would use up."""


class TrainRowsInEvalCheck(Check):
    """Compares evaluation rows with training rows, token by token."""

    code: ClassVar[str] = "SFT413"
    name: ClassVar[str] = "train-rows-in-eval"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("eval-leak",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train) or without_evaluation(inputs)
        if skip is not None:
            return skip
        known = {sample.input_ids for sample in inputs.train.samples}
        found = []
        for split in inputs.evaluations:
            same = [i for i, sample in enumerate(split.samples) if sample.input_ids in known]
            if same:
                found.append(self._found(inputs.train, split, same))
        streams = [split.name for split in inputs.evaluations if split.unseen == STREAM]
        return Skip("stream_beside", {"series": streams[0]}) if streams and not found else found

    def _found(self, train: Split, split: Split, same: list[int]) -> Observation:
        looked_at = len(train.samples) / (train.total or len(train.samples))
        seen = len(split.samples)
        # While training rows are unseen, what was met is a sample, even of a whole set.
        ends = interval(len(same), seen, split.total if looked_at == 1.0 else None)
        share, low, high = (min(1.0, s / looked_at) for s in (len(same) / seen, *ends))
        all_seen = looked_at == 1.0 and seen == (split.total or seen)
        many = len(same) >= LEAST_MET and share >= TOLERATED_ROWS
        return self.observation(
            Severity.WARNING if many else Severity.INFO,
            series=split.name,
            variant="default" if looked_at == 1.0 else "sampled",
            evidence={
                "rows": len(same),
                "seen": seen,
                "train_seen": len(train.samples),
                "share": share,
                "share_low": low,
                "share_high": high,
            },
            fixes=(FixText("split"), *(() if all_seen else (FixText("full"),))),
            example=same[0],
        )
