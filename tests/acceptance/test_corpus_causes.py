"""The first cause on the labelled logs, told from the log and what a user knows of the run."""

from __future__ import annotations

from functools import cache

import pytest
from logs import report_of

from benchmarks.accuracy import sets
from benchmarks.accuracy.runs import Run
from sftdiag.findings import Finding, Status

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not sets.corpus().is_dir(), reason="the labelled logs are not here"),
]

HIGH, LABELS = "learning-rate-too-high", ("label-misalignment", "label-mask")
CAUSES: dict[str, tuple[str, ...]] = {
    "overfit": ("overfitting",),
    "eval-shift": ("eval-distribution",),
    "lr-high": (HIGH,),
    "fall-then-rise": (HIGH,),
    "lr-jump": (HIGH, "schedule"),
    "lr-low": ("learning-rate-too-low",),
    "frozen": ("frozen-parameters",),
    "mask-all": ("label-mask",),
    "spikes": ("poor-data",),
    # The same signals: only the rows tell which.
    "mask-random": LABELS,
    "mask-noise-prompt": LABELS,
    "template-misaligned": LABELS,
}
SILENT = {"b-lr-ladder-adam-1": "its jump is smaller than its noise"}


@cache
def sick(name: str) -> list[Run]:
    return [run for run in getattr(sets, name)() if run.warn == "yes"]


def primary(run: Run) -> Finding | None:
    return report_of(run.rows, run.context).primary


def test_the_first_cause_of_injected_faults() -> None:
    wrong = {}
    for run in sick("gpu"):
        found = primary(run)
        if found is None:
            assert run.name in SILENT
        elif found.causes[0].id not in CAUSES[run.label]:
            wrong[run.name] = (found.code, found.causes[0].id)
        else:
            confirmed = {c.id for c in found.causes if c.status is Status.CONFIRMED}
            assert confirmed <= {*CAUSES[run.label]}
    assert wrong == {}


def test_nothing_is_more_than_possible_without_evidence_in_the_log() -> None:
    for run in sick("real"):
        found = primary(run)
        for cause in found.causes if found else ():
            assert cause.status is Status.POSSIBLE or cause.because
            assert cause.check is None
