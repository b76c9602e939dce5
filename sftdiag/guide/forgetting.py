"""SFT302, guide row 4: the model forgets what it knew before."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import CauseRule, Symptom, fix

SYMPTOM = Symptom(
    "SFT302",
    "forgetting",
    Severity.WARNING,
    (
        CauseRule("forgetting", fixes=(fix("gentler"),)),
        CauseRule("lora-rank-too-large", fixes=(fix("lower_rank"),)),
    ),
    seen_by="model",
)
