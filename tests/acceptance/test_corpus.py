"""The labelled logs: silence on the healthy ones at every step, and what is found of the sick.

Reads ../shared/corpus or $SFTDIAG_CORPUS, which are no part of the project.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sftdiag
from sftdiag.findings import Report, Severity
from sftdiag.report import json as json_renderer
from sftdiag.report import text

pytestmark = pytest.mark.acceptance

RATE = {"SFT102", "SFT103", "SFT104", "SFT106", "SFT109"}
OWNED = {
    "overfitting": {"SFT201"},
    "overfit": {"SFT201"},
    "eval-shift": {"SFT201"},
    # Next to nothing in the first epoch is told as a level that cannot be.
    "memorisation": {"SFT201", "SFT202", "SFT111"},
    "loss_rise": {"SFT102", "SFT104"},
    "divergence": {"SFT104", "SFT103", "SFT106"},
    "oscillation": {"SFT103", "SFT104"},
    "spikes": {"SFT105"},
    "flat_loss": {"SFT101", "SFT108", "SFT111"},
    "lr-low": {"SFT101"},
    "frozen": {"SFT101"},
    "mask-random": {"SFT108", "SFT111", "SFT101"},
    "mask-noise-prompt": {"SFT108", "SFT111", "SFT101"},
    "template-misaligned": {"SFT108", "SFT111", "SFT101"},
    "zero_or_nan": {"SFT106", "SFT107", "SFT203"},
    "mask-all": {"SFT107"},
    "lr-high": RATE,
    "fall-then-rise": RATE,
    "lr-jump": {"SFT116", "SFT102", "SFT104", "SFT105"},
}
"""The labels that a detector of this version may name, and which."""

TINY = {
    "all_masked": "SFT107",
    "eval_other_dist": "SFT201",
    "lr_1e-9": "SFT101",
    "lr_zero": "SFT101",
    "nan_step41": "SFT106",
    "nan_step41_log5": "SFT106",
    "nan_step41_nofilter": "SFT106",
    "only_final_norm": "SFT101",
    "overfit": "SFT201",
    "plain_trainer_all_masked": "SFT107",
    "zero_grad": "SFT101",
}

TINY_HEALTHY = ("healthy", "dft", "group_by_length", "log10_grad_acc", "lr_x10", "unmasked_prompt")

NOT_FOUND = {
    "amodh-saxena__toxic_message_analyzer__3": "its evaluation loss falls to the end",
    "shettysaish20__era-phi-2-oasst-instruct__1": "rises by 6 % on a noise of 3 %",
    "b-lr-ladder-adam-1": "jumps by less than its noise: a learning rate only somewhat too high",
    "b-lr-ladder-lora-0": "does not jump: a learning rate only somewhat too high",
    # A flat curve whose level says nothing: a floor looks the same.
    "surely-zoe__NLP244-quest4__1": "1.107 is ln 3: a three-class head, which the log does not say",
    "aloshdenny__kevin-token-compressor__1": "flat at 2.12 nats, its rate and gradient are normal",
    "marthinsurya__lab2-ID2223__2": "flat at 0.85 nats, its rate and gradient are normal",
}
"""Owned labels without a warning, each with the reason and, after the colon, who will see it."""


class Case(NamedTuple):
    name: str
    path: Path
    label: str
    warn: str


def real(corpus: Path) -> Iterator[Case]:
    with open(corpus / "real" / "labels.csv", newline="") as file:
        for row in csv.DictReader(file):
            path = corpus / "real" / "runs" / f"{row['id']}.json"
            yield Case(row["id"], path, row["primary"], row["warn_expected"])


def gpu(corpus: Path) -> Iterator[Case]:
    for spec in sorted((corpus / "gpu").glob("*.spec.json")):
        facts = json.loads(spec.read_text())
        warn = {"yes": "yes", "healthy": "no"}.get(facts["curve_visible"], "either")
        yield Case(spec.name[:-10], spec.with_name(f"{spec.name[:-10]}.json"), facts["label"], warn)


def warned(report: Report) -> set[str]:
    """Return the codes that reached a warning at any step."""
    return {f.code for f in report.findings if f.worst >= Severity.WARNING}


def test_every_file_gives_a_report(corpus: Path) -> None:
    paths = [*(corpus / "real" / "runs").glob("*.json"), *(corpus / "tiny").glob("*.json")]
    paths += [case.path for case in gpu(corpus)]
    assert len(paths) > 250
    for path in paths:
        for lang in ("en", "zh"):
            report = sftdiag.analyze(path, lang=lang)
            assert text.render(report)
            assert json.loads(json_renderer.render([report]))
            if report.verdict == "inconclusive":
                assert report.reason


def test_silence_on_the_healthy_at_every_step(corpus: Path) -> None:
    healthy = [case for case in (*real(corpus), *gpu(corpus)) if case.warn == "no"]
    assert len(healthy) > 100
    alarms = {case.name: codes for case in healthy if (codes := warned(sftdiag.analyze(case.path)))}
    assert alarms == {}


def test_what_the_detectors_own_is_found_or_listed(corpus: Path) -> None:
    sick = [case for case in (*real(corpus), *gpu(corpus)) if case.label in OWNED]
    missed = {
        case.name
        for case in sick
        if case.warn != "no" and not warned(sftdiag.analyze(case.path)) & OWNED[case.label]
    }
    assert missed == set(NOT_FOUND)


def test_no_sick_run_gets_a_wrong_disease(corpus: Path) -> None:
    wrong = {}
    for case in (*real(corpus), *gpu(corpus)):
        primary = sftdiag.analyze(case.path).primary
        if case.label in OWNED and primary is not None and primary.code not in OWNED[case.label]:
            wrong[case.name] = primary.code
    assert wrong == {}


def test_the_nan_runs_under_other_labels(corpus: Path) -> None:
    """fall-then-rise, lr-high and the SGD and LoRA ladders that end in NaN."""
    ended = [
        case
        for case in gpu(corpus)
        if any(
            str(row.get("grad_norm")) == "nan"
            for row in json.loads(case.path.read_text())["log_history"][-40:]
        )
    ]
    assert len(ended) >= 10
    for case in ended:
        report = sftdiag.analyze(case.path)
        assert report.primary is not None
        assert report.primary.code == "SFT106", case.name


@pytest.mark.parametrize("name", TINY)
def test_tiny_faults(corpus: Path, name: str) -> None:
    report = sftdiag.analyze(corpus / "tiny" / f"{name}.json")
    assert report.primary is not None
    assert report.primary.code == TINY[name]


@pytest.mark.parametrize("name", TINY_HEALTHY)
def test_tiny_healthy(corpus: Path, name: str) -> None:
    assert warned(sftdiag.analyze(corpus / "tiny" / f"{name}.json")) == set()
