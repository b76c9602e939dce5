"""SFT301, guide row 3: the output repeats itself."""

from __future__ import annotations

from sftdiag.detectors._eval_rise import MIN_RISE
from sftdiag.detectors.memorization import LOW_LOSS
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.from_checks import check
from sftdiag.ranges import LEAST_TEMPERATURE, LORA_DROPOUT

CALM_SHARE = 0.5
"""Sampled replies that repeat less than half as much as greedy ones beyond the references: a
temperature then makes more difference than all that training did."""

DIVERSE = 0.5
"""Share of distinct bigrams in the answers of different prompts below which they say the same; it
is 0.8 and more for prose."""


def evaluation_has_risen(case: Case) -> Evidence | None:
    """The evaluation loss against its best."""
    best = case.signals.best_evaluation()
    if best is None:
        return Evidence(Weight.MISSING, "no_evaluation")
    last = case.signals.evaluations[best[0]][-1]
    values = {"best": best[1].loss, "last": last.loss, "step": best[1].step}
    if last.loss > best[1].loss + MIN_RISE * abs(best[1].loss):
        return Evidence(Weight.SUPPORTS, "evaluation_risen", values)
    return Evidence(Weight.AGAINST, "evaluation_at_best", values)


def train_loss_is_gone(case: Case) -> Evidence | None:
    """A train loss near 0: the rows are known by heart."""
    losses = case.signals.block_losses
    if not losses or losses[-1] >= LOW_LOSS:
        return None
    return Evidence(Weight.SUPPORTS, "train_near_zero", {"loss": losses[-1]})


def sampling_helps(case: Case) -> Evidence | None:
    """Sampled replies to the same prompts against the greedy ones."""
    greedy, sampled = case.number("greedy"), case.number("sampled")
    if greedy is None or sampled is None:
        return Evidence(Weight.MISSING, "not_sampled")
    if case.detection.variant == "uniform":
        return None
    values = {"sampled": sampled, "greedy": greedy, "temperature": LEAST_TEMPERATURE}
    usual = case.number("reference") or 0.0
    if sampled - usual < CALM_SHARE * (greedy - usual):
        return Evidence(Weight.SUPPORTS, "only_greedy", values)
    return Evidence(Weight.RULES_OUT, "sampled_too", values)


def references_are_alike(case: Case) -> Evidence | None:
    """The reference answers' own diversity."""
    distinct = case.number("reference_distinct")
    if distinct is None:
        return Evidence(Weight.MISSING, "rows_unseen")
    weight = Weight.SUPPORTS if distinct < DIVERSE else Weight.AGAINST
    key = "references_alike" if distinct < DIVERSE else "references_differ"
    return Evidence(weight, key, {"distinct": distinct})


def train_less(case: Case) -> FixText:
    """Stop where the evaluation loss was best, if it shows that."""
    risen = evaluation_has_risen(case)
    if risen is None or risen.weight is not Weight.SUPPORTS:
        return FixText("train_less")
    return FixText("stop_at_best", {"step": risen.values["step"]})


def more_dropout(case: Case) -> FixText | None:
    """Up to the guide's dropout, unless it is there."""
    old, usual = case.context.lora_dropout, LORA_DROPOUT[0]
    if old is None:
        return FixText("raise_dropout")
    if old >= usual.high:
        return None
    values = {"old": old, "new": usual.high}
    return FixText("raise_dropout_to", values, {"LoraConfig.lora_dropout": (old, usual.high)})


SYMPTOM = Symptom(
    "SFT301",
    "repetitive-output",
    Severity.WARNING,
    (
        CauseRule(
            "overfitting", (evaluation_has_risen, train_loss_is_gone), (train_less, more_dropout)
        ),
        CauseRule("sampling-temperature", (sampling_helps,), (fix("raise_temperature"),)),
        CauseRule(
            "low-diversity-data",
            (
                references_are_alike,
                check("low-diversity-answers", clean=None),
                check("duplicate-rows", clean=None),
            ),
            (fix("diversify"),),
        ),
    ),
    seen_by="model",
)
