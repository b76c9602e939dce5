"""SFT102, guide row 2: the training loss falls, then rises again."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import CauseRule, Symptom, fix

SYMPTOM = Symptom(
    "SFT102",
    "train-loss-rebound",
    Severity.WARNING,
    (
        CauseRule("learning-rate-too-high", fixes=(fix("lower_rate"),)),
        CauseRule("too-many-epochs", fixes=(fix("fewer_epochs"),)),
    ),
)
