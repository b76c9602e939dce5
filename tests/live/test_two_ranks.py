"""Two ranks of one run, gloo on the CPU: they decide alike, and one of them tells."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from sftdiag.sources import journal

pytest.importorskip("finetune", reason="needs the extra trainer")

from launch import HELPERS, LAUNCH

SCRIPT = HELPERS / "two_ranks.py"


def drill(folder: Path, runs: list[str]) -> None:
    """Train the runs on both ranks, one after another, and check each; none may hang."""
    done = subprocess.run(
        [*LAUNCH, str(SCRIPT), str(folder), *runs],
        capture_output=True,
        text=True,
        timeout=180 + 60 * len(runs),
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("sftdiag: ")]
    for run in runs:
        begin = ours.index(f"sftdiag: run {run}")
        later = (n for n, line in enumerate(ours) if n > begin and line.startswith("sftdiag: run "))
        check_run(folder / run, run.partition("-")[0], ours[begin + 1 : next(later, None)])


def check_run(folder: Path, policy: str, told: list[str]) -> None:
    """Both ranks ended at the same step with the same findings, and one told of it, once."""
    results = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert results[0] == results[1]
    assert 60 < results[0]["step"] <= 63
    assert results[0]["findings"][0]["code"] == "SFT106"
    assert results[0]["raised"].startswith("error SFT106") is (policy == "raise")
    expected = ["sftdiag: error SFT106 non-finite, step ", "sftdiag: error · SFT106 non-finite"]
    expected += [] if policy == "raise" else ["sftdiag: stopped at step "]
    for start in expected:
        assert sum(line.startswith(start) for line in told) == 1, told
    events = Counter(event["event"] for event in journal.read(str(folder)))
    assert events["start"] == events["end"] == 1
    saved = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("checkpoint"))
    assert saved == [f"checkpoint-{step}" for step in (20, 40, 60) if policy != "fsdp"]


@pytest.mark.slow
def test_two_ranks_stop_at_the_same_step(tmp_path: Path) -> None:
    """With gradient accumulation and the loss averaged over the ranks' tokens."""
    drill(tmp_path, ["severity"])


@pytest.mark.acceptance
def test_weights_that_are_sharded_over_the_ranks(tmp_path: Path) -> None:
    """FSDP: parameters and gradients are DTensors, of which each rank has a part."""
    drill(tmp_path, ["fsdp"])
    result = json.loads((tmp_path / "fsdp" / "rank-0.json").read_text())
    assert result["weights"] == "DTensor"
    assert result["gradients"] is False
    assert "sharded over ranks" in result["skipped"]["forgetting"]


@pytest.mark.acceptance
@pytest.mark.timeout(2400)
def test_no_rank_is_left_behind(tmp_path: Path) -> None:
    """Three policies, ten times each."""
    drill(
        tmp_path, [f"{policy}-{n}" for n in range(10) for policy in ("severity", "codes", "raise")]
    )
