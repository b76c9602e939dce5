"""Evidence on how often the rows were seen, shared by the symptoms of too many epochs."""

from __future__ import annotations

from sftdiag.guide.base import Case, Evidence, FixText, Weight
from sftdiag.ranges import MOST_EPOCHS


def passes_over_the_rows(case: Case) -> Evidence | None:
    """How often every row was seen."""
    epoch = case.number("epoch") or case.signals.epoch
    if epoch is None:
        return None
    weight = Weight.SUPPORTS if epoch > MOST_EPOCHS else Weight.AGAINST
    return Evidence(weight, "passes", {"epoch": epoch})


def fewer_epochs(case: Case) -> FixText:
    """From the planned epochs to the guide's."""
    planned = case.context.num_train_epochs
    if planned is None or planned <= MOST_EPOCHS:
        return FixText("fewer_epochs")
    values = {"planned": planned, "most": MOST_EPOCHS}
    changes = {"SFTConfig.num_train_epochs": (planned, MOST_EPOCHS)}
    return FixText("fewer_epochs_than", values, changes)
