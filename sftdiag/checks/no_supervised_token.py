"""SFT401 no-supervised-token: no token of the rows looked at reaches the loss.

Sees: labels that are -100 (or padding) at every position of every row. The loss is then the mean
over nothing: exactly 0 in TRL, NaN or 0 in transformers, from step 1 on (SFT107).

Cannot see: a loss function of your own that reads other columns than ``labels``.

Example:
    >>> from sftdiag.checks.base import Inputs
    >>> from sftdiag.samples import Sample, Split
    >>> masked = Sample((5, 6, 7), (-100, -100, -100))
    >>> check = NoSupervisedTokenCheck()
    >>> [found.severity.label for found in check.look(Inputs(train=Split("train", (masked,))))]
    ['error']

References:
    trl issues 6668 and 6025, unsloth issue 2900: loss 0 with every label masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, labelled, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip


class NoSupervisedTokenCheck(Check):
    """Finds a set of which no row has a label that reaches the loss."""

    code: ClassVar[str] = "SFT401"
    name: ClassVar[str] = "no-supervised-token"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        return [
            self.observation(
                Severity.ERROR,
                series=split.name,
                evidence=share_of_rows(len(split.samples), split),
                fixes=(FixText("check_mask"), FixText("length")),
                example=0,
            )
            for split in inputs.splits
            if not labelled(split.samples)
        ]
