"""SFT108, guide row 1 and curve 4: labels or template that do not belong to the text."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check
from sftdiag.guide.lost_numbers import base_quantized


def labels_contradict_the_text(case: Case) -> Evidence | None:
    """Loss over entropy with no token predicted: the labels are of another text."""
    accuracy, entropy = case.number("mean_token_accuracy"), case.number("entropy")
    if accuracy is None or entropy is None:
        return None
    values = {"accuracy": accuracy, "loss": case.number("loss"), "entropy": entropy}
    return Evidence(Weight.SUPPORTS, "contradicted", values)


SYMPTOM = Symptom(
    "SFT108",
    "loss-above-chance",
    Severity.ERROR,
    (
        CauseRule(
            "label-misalignment",
            (
                labels_contradict_the_text,
                check("label-misalignment", Weight.CONFIRMS, Weight.RULES_OUT),
            ),
            (fix("check_alignment"),),
        ),
        CauseRule(
            "label-mask",
            (labels_contradict_the_text, check("prompt-trained")),
            (fix("check_mask"),),
        ),
        CauseRule("quantization-or-dtype", (base_quantized,), (fix("other_base"),)),
        CauseRule("chat-template", (check("template-mismatch"),), (fix("check_template"),)),
    ),
)
