"""Logs that frameworks wrote in real runs: the verdict that each file's name tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import sftdiag
from sftdiag.errors import SourceError

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).resolve().parents[2]

LOGS = Path(os.environ.get("SFTDIAG_LOGS", ROOT.parent / "shared" / "logs"))

FILES = [str(path.relative_to(LOGS)) for path in sorted(LOGS.rglob("*")) if path.is_file()]

REFUSED = {"all_results.json": "without log_history", "findings.jsonl": "give the run's folder"}
"""What is no log, by the end of its name, and what is said of it."""

SWIFT, OTHERS = "SFT112", "SFT106"
"""ms-swift drops the gradients that are NaN, and its loss stays finite."""


@pytest.mark.parametrize("name", FILES)
def test_the_verdict_is_that_of_the_run(name: str) -> None:
    path = LOGS / name
    said = next((text for end, text in REFUSED.items() if name.endswith(end)), None)
    if said is not None:
        with pytest.raises(SourceError, match=said):
            sftdiag.analyze(path)
        return
    report = sftdiag.analyze(path)
    if "blown_up" in name:
        assert report.verdict == "error"
        assert report.primary is not None
        assert report.primary.code == (SWIFT if name.startswith("ms-swift") else OTHERS)
    else:
        assert report.verdict == "healthy"


def test_the_logs_are_there() -> None:
    if not LOGS.is_dir():
        pytest.skip(f"no logs at {LOGS}; set SFTDIAG_LOGS")
    assert len(FILES) >= 28
