"""SFT302, guide row 4: the model forgets what it knew before."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.epochs import fewer_epochs, passes_over_the_rows
from sftdiag.guide.learning_rate import lower_learning_rate, rate_against_ranges
from sftdiag.ranges import LORA_RANK

RANK = LORA_RANK[0]
"""The guide's."""


def rank_against_range(case: Case) -> Evidence | None:
    """The adapter's rank against the guide's range."""
    rank = case.context.lora_r
    if rank is None:
        full = case.context.method == "full"
        return Evidence(Weight.RULES_OUT if full else Weight.MISSING, "no_adapter")
    values = {"rank": rank, "low": RANK.low, "high": RANK.high}
    if rank > RANK.high:
        return Evidence(Weight.SUPPORTS, "rank_above", values)
    if rank <= RANK.low:
        return Evidence(Weight.RULES_OUT, "rank_lowest", values)
    return None


def lower_rank(case: Case) -> FixText:
    """Half the rank, alpha at twice it."""
    rank = case.context.lora_r
    if rank is None or rank <= RANK.low:
        return FixText("lower_rank")
    new = int(min(max(RANK.low, rank // 2), RANK.high))
    changes: dict[str, tuple[float | None, float | None]] = {"LoraConfig.r": (rank, new)}
    if case.context.lora_alpha is not None:
        changes["LoraConfig.lora_alpha"] = (case.context.lora_alpha, 2 * new)
    return FixText("lower_rank_to", {"rank": rank, "new": new}, changes)


def weights_moved(case: Case) -> Evidence | None:
    """The task got easier while general text got harder: weights moved from one to the other.

    A rate above the ranges explains that as well, also where they speak of larger models only.
    """
    first, blocks = case.signals.first_loss, case.signals.block_losses
    if first is None or not blocks or blocks[-1] >= first:
        return None
    values = {"first": first, "last": blocks[-1], "factor": case.number("factor") or 1.0}
    key, least = "task_for_general", case.number("factor_least")
    if least is not None:
        key, values = "general_lost", {**values, "factor": least}
    rate = rate_against_ranges(case)
    undecided = rate is not None and rate.weight is Weight.FITS
    return Evidence(Weight.FITS if undecided else Weight.SUPPORTS, key, values)


SYMPTOM = Symptom(
    "SFT302",
    "forgetting",
    Severity.WARNING,
    (
        CauseRule("learning-rate-too-high", (rate_against_ranges,), (lower_learning_rate,)),
        CauseRule("too-many-epochs", (passes_over_the_rows,), (fewer_epochs,)),
        CauseRule("lora-rank-too-large", (rank_against_range,), (lower_rank,)),
        CauseRule(
            "forgetting",
            (weights_moved,),
            (lower_learning_rate, fewer_epochs, fix("rehearse")),
        ),
    ),
    seen_by="model",
)
