"""SFT507 lora-dropout: the dropout of the adapter against the guide's 0.05 to 0.1.

Sees: more than 0.1, or none at all with little data (fewer than 5,000 samples), where the guide
wants more of it. Half or more is a warning. None with more data is the guide's aggressive preset.

Cannot see: other means against overfitting, such as weight decay or early stopping.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = LoraDropoutCheck()
    >>> for context in (
    ...     RunContext(method="lora", lora_dropout=0.05),
    ...     RunContext(method="lora", lora_dropout=0.0, train_samples=800),
    ...     RunContext(method="lora", lora_dropout=0.5),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    ['warning']

References:
    sftdiag/ranges.py: every range with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import out_of_reach, sources
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import LITTLE_DATA, LORA_DROPOUT

FAR = 0.5
"""Half of the adapter's inputs are dropped: five times the guide's most."""


class LoraDropoutCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT507"
    name: ClassVar[str] = "lora-dropout"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("adapter-dropout",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        dropout, samples = context.lora_dropout, context.train_samples
        if dropout is None:
            return Skip("no_adapter")
        # Half of what an adapter sees is lost to a small model as well.
        if dropout < FAR and (skip := out_of_reach(context)) is not None:
            return skip
        guide = LORA_DROPOUT[0]
        none = dropout == 0 and samples is not None and samples < LITTLE_DATA
        if dropout <= guide.high and not none:
            return ()
        return [
            self.observation(
                Severity.WARNING if dropout >= FAR else Severity.INFO,
                series=ARGUMENTS,
                variant="none" if none else "default",
                evidence={"dropout": dropout, "samples": samples, **sources(LORA_DROPOUT)},
                fixes=(
                    FixText("usual", changes={"LoraConfig.lora_dropout": (dropout, guide.high)}),
                ),
            )
        ]
