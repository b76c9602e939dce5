"""The one table of symptoms. Their modules load when a run shows them: most show few, or none."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from sftdiag.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from sftdiag.guide.base import Symptom

    SYMPTOMS: tuple[Symptom, ...]

NAMES = {
    "SFT101": "train-loss-flat",
    "SFT102": "train-loss-rebound",
    "SFT103": "loss-oscillation",
    "SFT104": "loss-divergence",
    "SFT105": "loss-spike",
    "SFT106": "non-finite",
    "SFT107": "zero-loss",
    "SFT108": "loss-above-chance",
    "SFT109": "early-loss-jump",
    "SFT110": "learning-rate-restarted",
    "SFT111": "implausible-loss",
    "SFT112": "steps-skipped",
    "SFT113": "step-skipped-by-guard",
    "SFT114": "stalled",
    "SFT115": "throughput-fall",
    "SFT116": "learning-rate-jump",
    "SFT117": "exploding-gradients",
    "SFT118": "warmup-to-the-end",
    "SFT201": "eval-loss-rising",
    "SFT202": "memorization",
    "SFT203": "eval-not-finite",
    "SFT204": "train-eval-scale-mismatch",
    "SFT301": "repetitive-output",
    "SFT302": "forgetting",
    "SFT303": "unnatural-replies",
}
"""Code to name, in the order of the codes; a symptom's module is called by its name."""


@cache
def of(code: str) -> Symptom:
    """Return the symptom with this code."""
    module = import_module(f"sftdiag.guide.{NAMES[code].replace('-', '_')}")
    symptom: Symptom = module.SYMPTOM
    return symptom


def __getattr__(name: str) -> object:
    if name != "SYMPTOMS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return tuple(of(code) for code in NAMES)
