"""Evidence on how often the rows were seen, shared by the symptoms of too many epochs."""

from __future__ import annotations

from math import ceil

from sftdiag.guide.base import Case, Evidence, FixText, Weight
from sftdiag.ranges import MOST_EPOCHS, epoch_band


def passes_over_the_rows(case: Case) -> Evidence | None:
    """How often every row was seen."""
    epoch = case.number("epoch") or case.signals.epoch
    if epoch is None:
        return None
    if epoch <= 1.0:
        return Evidence(Weight.AGAINST, "first_pass", {"epoch": epoch})
    weight = Weight.SUPPORTS if epoch > MOST_EPOCHS else Weight.AGAINST
    return Evidence(weight, "passes", {"epoch": epoch})


def steps_at_epoch_edges(case: Case) -> Evidence | None:
    """A train loss that drops where an epoch begins: the rows are remembered."""
    edges, drop = case.number("edges"), case.number("edge_drop")
    if not edges or drop is None:
        return None
    return Evidence(Weight.SUPPORTS, "steps_at_edges", {"edges": edges, "drop": drop})


def fewer_epochs(case: Case) -> FixText:
    """From the planned epochs, or the planned steps, to the guide's most for so many rows."""
    context, signals = case.context, case.signals
    most: float = MOST_EPOCHS
    if context.train_samples is not None:
        most = min(most, epoch_band(context.train_samples).epochs.high)
    if (planned := context.num_train_epochs) is not None:
        if planned <= most:
            return FixText("fewer_epochs")
        values = {"planned": planned, "most": most}
        return FixText("fewer_epochs_than", values, {"SFTConfig.num_train_epochs": (planned, most)})
    steps = signals.max_steps
    if not steps or not signals.epoch or steps * signals.epoch <= most * signals.last_step:
        return FixText("fewer_epochs")
    fewer = max(1, round(most * signals.last_step / signals.epoch))
    values = {"steps": steps, "fewer": fewer, "most": most}
    return FixText("fewer_steps_than", values, {"SFTConfig.max_steps": (steps, fewer)})


def whole_epochs(epoch: float) -> int:
    """Return the number of epochs that ends at this one, or behind it; logs round their epochs."""
    return max(1, ceil(epoch - 0.05))
