"""SFT303, guide row 6: the replies sound unnatural."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import CauseRule, Symptom, fix

SYMPTOM = Symptom(
    "SFT303",
    "unnatural-replies",
    Severity.WARNING,
    (
        CauseRule("poor-data", fixes=(fix("clean_data"),)),
        CauseRule("chat-template", fixes=(fix("check_template"),)),
    ),
    seen_by="model",
)
