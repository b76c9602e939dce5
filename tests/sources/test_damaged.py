"""Damaged files of every format: read, or refused in one line, and soon."""

from __future__ import annotations

from pathlib import Path

import damaged
import pytest

from sftdiag.api import replay
from sftdiag.config import Settings
from sftdiag.errors import SftdiagError
from sftdiag.sources import find_runs, open_run

FEW, MANY = 250, 10_000


def diagnose(path: Path) -> str:
    """Return what is said of a file; any exception but our own leaves."""
    try:
        verdicts = [replay(open_run(run), Settings()).verdict for run in find_runs(path)]
    except SftdiagError as error:
        return "several lines" if "\n" in str(error) else "refused"
    return ",".join(verdicts)


def test_a_few_damaged_files(tmp_path: Path) -> None:
    whole = damaged.seeds()
    seen = set()
    for seed in range(FEW):
        path = tmp_path / f"log-{seed % 7}"
        path.write_bytes(damaged.damaged(seed, whole))
        seen.add(diagnose(path))
    assert {"refused", "error"} <= seen
    assert "several lines" not in seen


@pytest.mark.acceptance
@pytest.mark.timeout(7200)
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    import resource
    import time

    whole = damaged.seeds()
    slowest = 0.0
    for seed in range(MANY):
        path = tmp_path / f"log-{seed % 7}"
        path.write_bytes(damaged.damaged(seed, whole))
        began = time.process_time()
        try:
            assert diagnose(path) != "several lines"
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        slowest = max(slowest, time.process_time() - began)
    assert slowest < 5.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 500 * 1024
