"""SFT105: the training loss spikes and comes back."""

from __future__ import annotations

from sftdiag.detectors.loss_spike import REPEATED
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix, missing
from sftdiag.guide.learning_rate import (
    clip_on,
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
)
from sftdiag.guide.row_order import sorted_rows_found

GROWS = 1.5
"""Factor from the largest early spike to the largest late one from which spikes grow."""

RESTART_STEPS = 100
"""Steps before a spike from which PaLM restarted."""


def spikes_grow(case: Case) -> Evidence | None:
    """Spikes that grow mean steps that are too large for where the model is."""
    early, late = case.number("early_rise"), case.number("late_rise")
    if early is None or late is None or late < GROWS * early:
        return None
    return Evidence(Weight.SUPPORTS, "grow", {"early": early, "late": late})


def back_at_once(case: Case) -> Evidence | None:
    """Weights that were thrown off take several rows to recover; an odd batch is gone with it."""
    spikes, single = case.number("spikes"), case.number("single")
    if not spikes or single is None or 2 * single <= spikes:
        return None
    return Evidence(Weight.SUPPORTS, "back_at_once", {"single": single, "spikes": spikes})


def slow_return(case: Case) -> Evidence | None:
    """The same against the learning rate."""
    piece = back_at_once(case)
    return None if piece is None else Evidence(Weight.AGAINST, "back_at_once", piece.values)


def _order(case: Case, weight: Weight) -> Evidence | None:
    spikes, edges = case.number("spikes"), case.number("edges")
    if spikes and edges is not None and 2 * edges > spikes:
        return Evidence(weight, "at_edges", {"edges": edges, "spikes": spikes})
    distance = case.number("distance")
    if distance is not None:
        return Evidence(weight, "equal_distance", {"distance": distance})
    return None


def comes_from_order(case: Case) -> Evidence | None:
    """Spikes at the epochs' edges or at equal distances come from the order of the rows."""
    piece = _order(case, Weight.SUPPORTS)
    if piece is None and (case.number("spikes") or 0) >= REPEATED:
        return Evidence(Weight.AGAINST, "irregular")
    return piece


def not_from_the_rate(case: Case) -> Evidence | None:
    """The same against the learning rate."""
    return _order(case, Weight.AGAINST)


def clip(case: Case) -> FixText:
    """Clip the gradient, or clip it lower."""
    norm = case.context.max_grad_norm
    if norm is None:
        return FixText("clip_generally")
    if norm == 0.0:
        return clip_on(case)
    return FixText(
        "clip_lower",
        {"old": norm, "new": norm / 2},
        {"SFTConfig.max_grad_norm": (norm, norm / 2)},
    )


def restart(case: Case) -> FixText:
    """What PaLM did."""
    step = max(0, case.detection.onset_step - RESTART_STEPS)
    return FixText("restart", {"before": step})


SYMPTOM = Symptom(
    "SFT105",
    "loss-spike",
    Severity.WARNING,
    (
        CauseRule(
            "learning-rate-too-high",
            (
                rate_against_ranges,
                rate_near_its_peak,
                spikes_grow,
                slow_return,
                not_from_the_rate,
            ),
            (clip, lower_learning_rate),
        ),
        CauseRule("data-order", (comes_from_order, sorted_rows_found), (fix("shuffle"),)),
        CauseRule(
            "poor-data",
            (back_at_once, missing("rows_unseen")),
            (fix("look_at_rows"), restart),
        ),
    ),
)
