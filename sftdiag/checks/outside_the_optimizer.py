"""SFT515 outside-the-optimizer: weights that get a gradient and that no step changes.

Sees: trainable parameters that the optimizer does not hold: one that was made before an adapter was
added, for another copy of the model, or for a part of it.

Cannot see: anything before the optimizer is made (preflight), and weights that are spread over the
ranks.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = OutsideTheOptimizerCheck()
    >>> for outside in (0, 20, 1000):
    ...     context = RunContext(outside_optimizer=outside, trainable_parameters=1000)
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['warning']
    ['error']

References:
    torch.optim: an optimizer steps the parameters that it was made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

MOST = 0.5
"""Share of what should be trained from which on the run trains something else."""


class OutsideTheOptimizerCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT515"
    name: ClassVar[str] = "outside-the-optimizer"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("frozen-parameters",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        outside, trained = inputs.context.outside_optimizer, inputs.context.trainable_parameters
        if outside is None or not trained:
            return Skip("no_optimizer")
        if not outside:
            return ()
        part = outside / trained
        return [
            self.observation(
                Severity.ERROR if part > MOST else Severity.WARNING,
                series=ARGUMENTS,
                evidence={"outside": outside, "trained": trained, "part": part},
                fixes=(FixText("make"), FixText("freeze")),
            )
        ]
