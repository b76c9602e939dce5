"""Fixes are in the run's own settings, and those that the run follows already are not told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sftdiag.context import RunContext
from sftdiag.findings import Detection, Severity
from sftdiag.guide import wording
from sftdiag.guide.base import Case, Symptom
from sftdiag.guide.learning_rate import keep_clipping, warm_up
from sftdiag.guide.loss_oscillation import larger_batch
from sftdiag.guide.repetitive_output import more_dropout
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.observations import FixText
from sftdiag.signals.stream import Signals

UNKNOWN = Signals(RunContext())

TOLD = object()
"""Told in general: the run's setting is not known."""


def rows(per_device: int, steps: int, world: int = 1) -> dict[str, int]:
    return {
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": steps,
        "world_size": world,
    }


@pytest.mark.parametrize(
    ("propose", "known", "change"),
    [
        (warm_up, {}, TOLD),
        (warm_up, {"warmup_steps": 0}, TOLD),
        (warm_up, {"warmup_steps": 3, "max_steps": 200}, ("SFTConfig.warmup_steps", 3, 20)),
        (warm_up, {"warmup_steps": 20, "max_steps": 200}, None),
        (keep_clipping, {}, TOLD),
        (keep_clipping, {"max_grad_norm": 1.0}, TOLD),
        (keep_clipping, {"max_grad_norm": 0.0}, ("SFTConfig.max_grad_norm", 0.0, 1.0)),
        (larger_batch, {}, TOLD),
        (larger_batch, rows(4, 1), ("SFTConfig.gradient_accumulation_steps", 1, 4)),
        (larger_batch, rows(3, 2), ("SFTConfig.gradient_accumulation_steps", 2, 6)),
        (larger_batch, rows(1, 1, 2), ("SFTConfig.gradient_accumulation_steps", 1, 8)),
        (larger_batch, rows(4, 4), None),
        (larger_batch, rows(8, 4, 4), None),
        (more_dropout, {}, TOLD),
        (more_dropout, {"lora_dropout": 0.0}, ("LoraConfig.lora_dropout", 0.0, 0.1)),
        (more_dropout, {"lora_dropout": 0.1}, None),
    ],
)
def test_a_fix_in_the_runs_settings(
    propose: Callable[[Case], FixText | None], known: dict[str, Any], change: Any
) -> None:
    detection = Detection("SFT103", "loss-oscillation", Severity.WARNING, 9, 1, "loss")
    told = propose(Case(detection, Signals(RunContext(**known))))
    if change is None:
        assert told is None
        return
    assert told is not None
    if change is TOLD:
        assert not told.changes
    else:
        name, old, new = change
        assert dict(told.changes) == {name: (old, new)}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.code)
def test_what_two_causes_advise_is_said_in_the_same_words(symptom: Symptom, lang: str) -> None:
    """Or it is told twice where no cause stands out: a report leaves out only what is the same."""
    case = Case(Detection(symptom.code, symptom.name, symptom.severity, 0, 0, "loss"), UNKNOWN)
    proposed = [propose(case) for cause in symptom.causes for propose in cause.fixes]
    sentences = wording.of(symptom, lang)["fixes"]
    told = {sentences[fix.key].format(**fix.values) for fix in proposed if fix is not None}
    for one in told:
        advice = re.split("[(（]", one)[0].strip()
        assert [other for other in told if advice in other] == [one]
