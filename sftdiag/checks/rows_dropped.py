"""SFT403 rows-dropped: the preparation dropped rows without a word.

Sees: how many rows TRL left out as its last step of preparation: those of which truncation at
``max_length`` leaves no label, and those of which the mask leaves none, however long they are. It
says nothing of it, and where none is left the run ends in torch with num_samples=0; an evaluation
set of which none is left gives no eval_loss, and no error.

Cannot see: rows dropped by a script of your own, when packing, or where preparation is skipped.

Example:
    >>> from sftdiag.samples import Split
    >>> found = RowsDroppedCheck().look(Inputs(train=Split("train", total=40, dropped=360)))
    >>> [(one.severity.label, one.evidence["share"]) for one in found]
    [('error', 0.9)]
    >>> masked = Split("train", total=0, dropped=40, dropped_uncut=40, longest=38)
    >>> found = RowsDroppedCheck().look(Inputs(train=masked))
    >>> [(one.variant, one.evidence["longest"]) for one in found]
    [('mask', 38)]

References:
    TRL 1.16, SFTTrainer._prepare_dataset: fully masked rows are filtered after truncation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Split

MOST = 0.5
"""Share of dropped rows from which the run trains on something else than what it was given."""


class RowsDroppedCheck(Check):
    """Compares the prepared rows with those that were there before the filter."""

    code: ClassVar[str] = "SFT403"
    name: ClassVar[str] = "rows-dropped"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        if inputs.train.dropped is None or inputs.train.total is None:
            return Skip("no_preparation")
        found = []
        for split in (inputs.train, *inputs.evaluations):
            if not split.dropped or split.total is None:
                continue
            before = split.total + split.dropped
            share = split.dropped / before
            few = Severity.WARNING if share >= TOLERATED_ROWS else Severity.INFO
            old = inputs.context.max_length
            masked = 2 * (split.dropped_uncut or 0) > split.dropped
            empty = masked and split.longest == 0
            length = FixText("length", changes={"SFTConfig.max_length": (old, None)})
            found.append(
                self.observation(
                    Severity.ERROR if share > MOST else few,
                    series=split.name,
                    variant=_variant(split, masked, empty),
                    evidence={
                        "dropped": split.dropped,
                        "before": before,
                        "share": share,
                        "max_length": old,
                        "uncut": split.dropped_uncut,
                        "longest": split.longest,
                    },
                    fixes=(_fix(inputs, empty),) if masked else (length,),
                )
            )
        return found


def _variant(split: Split, masked: bool, empty: bool) -> str:
    if split.name != "train" and not split.total and not empty:
        return "emptied_by_mask" if masked else "emptied"
    return "nothing" if empty else "mask" if masked else "default"


def _fix(inputs: Inputs, empty: bool) -> FixText:
    """Return what to change where a mask left no label: the settings say whose mask it is."""
    if empty:
        return FixText("roles")
    if inputs.context.assistant_only_loss:
        return FixText("marks")
    return FixText("completions" if inputs.context.completion_only_loss else "labels")
