"""SFT503 epochs-for-data-size: how often every row is seen against the guide's table.

Sees: more epochs than the guide's row for that many samples where no evaluation set would show
what they do, and less than one, which leaves rows unseen. A note, since reasoning data has been
trained for 128 epochs with profit; more than 7 on more than 50,000 samples, where the guide says 1
and Tulu 3 found no gain from 3 to 7, is a warning. Packed rows count as the samples they hold.

Cannot see: how good the data is, and whether the run stops early.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = EpochsForDataSizeCheck()
    >>> for context in (
    ...     RunContext(train_samples=12_000, num_train_epochs=2.0),
    ...     RunContext(train_samples=12_000, num_train_epochs=6.0),
    ...     RunContext(train_samples=12_000, num_train_epochs=6.0, eval_samples=500),
    ...     RunContext(train_samples=90_000, num_train_epochs=10.0, total_parameters=10**9),
    ... ):
    ...     print([found.severity.label for found in check.look(Inputs(context))])
    []
    ['info']
    []
    ['warning']

References:
    sftdiag/ranges.py: every range with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._hyperparameters import (
    at_most,
    epochs_planned,
    out_of_reach,
    samples_a_row,
)
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import EPOCHS, NEWER_EPOCHS, SWEPT_EPOCHS, epoch_band

WHOLE = 0.95
"""Share of an epoch from which on all rows are seen, but for what a trial or a round number of
steps leaves out."""


class EpochsForDataSizeCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT503"
    name: ClassVar[str] = "epochs-for-data-size"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("too-many-epochs", "too-few-epochs")
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context

        epochs, samples = epochs_planned(context), context.train_samples
        if epochs is None or samples is None:
            return Skip("no_epochs")
        if (skip := out_of_reach(context)) is not None:
            return skip
        held = samples_a_row(inputs)
        if held is None:
            return Skip("packed")
        samples = round(samples * held)
        band = epoch_band(samples)
        newer = NEWER_EPOCHS[0]
        most = max(band.epochs.high, newer.high)
        # A run by steps ends within an epoch: half of one more is no other choice.
        many = epochs >= most + 0.5
        far = many and band is EPOCHS[-1] and epochs > SWEPT_EPOCHS
        watched = bool(context.eval_samples or inputs.evaluations)
        if not far and (watched if many else epochs >= WHOLE):
            return ()
        return [
            self.observation(
                at_most(Severity.WARNING, context) if far else Severity.INFO,
                cause=self.causes[0 if many else 1],
                series=ARGUMENTS,
                variant="default" if many else "few",
                evidence={
                    "epochs": epochs,
                    "samples": samples,
                    "guide_low": band.epochs.low,
                    "guide_high": band.epochs.high,
                },
                fixes=(
                    FixText(
                        "fewer" if many else "more",
                        changes={"SFTConfig.num_train_epochs": (epochs, band.usual)},
                    ),
                ),
            )
        ]
