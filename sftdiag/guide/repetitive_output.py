"""SFT301, guide row 3: the output repeats itself."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import CauseRule, Symptom, fix

SYMPTOM = Symptom(
    "SFT301",
    "repetitive-output",
    Severity.WARNING,
    (
        CauseRule("overfitting", fixes=(fix("train_less"),)),
        CauseRule("sampling-temperature", fixes=(fix("raise_temperature"),)),
        CauseRule("low-diversity-data", fixes=(fix("diversify"),)),
    ),
    seen_by="model",
)
