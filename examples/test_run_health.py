"""Assert the health of a run in CI, in the three ways there are.

pytest examples/test_run_health.py --sftdiag-run examples/runs/healthy
"""

from __future__ import annotations

from pathlib import Path

import pytest

import sftdiag

RUNS = Path(__file__).parent / "runs"


def test_with_an_assertion() -> None:
    """One line in any test; the failure reads like a diagnosis."""
    sftdiag.assert_healthy(RUNS / "healthy", fail_on="warning")


@pytest.mark.sftdiag(run=RUNS / "overfitting", ignore={"SFT201", "memorization"})
def test_with_the_marker() -> None:
    """The test fails when the run is sick; known findings can be left out."""


def test_with_the_fixture(sftdiag_report: sftdiag.Report) -> None:
    """The run of ``--sftdiag-run``, to look at what matters to you."""
    assert sftdiag_report.at_least("warning") == ()
    assert sftdiag_report.verdict != "inconclusive"
