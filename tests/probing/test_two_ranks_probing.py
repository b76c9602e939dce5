"""The probes on two ranks, gloo on the CPU: one asks, both know, the run is as without them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sftdiag.sources import probes

pytest.importorskip("finetune", reason="needs the extra trainer")

from launch import HELPERS, LAUNCH
from two_ranks_probing import RUNS

SCRIPT = HELPERS / "two_ranks_probing.py"


def ranks(folder: Path) -> Any:
    """Return what each rank of a run saw: of the run, and of its health."""
    seen = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    health = [{name: part.pop(name) for name in ("findings", "skipped")} for part in seen]
    return seen, health


@pytest.mark.acceptance
def test_two_ranks_are_asked_once_and_train_as_without_probes(tmp_path: Path) -> None:
    """No hang, also where something fails on the rank that asks; findings on both, told by one."""
    for run in RUNS:
        (tmp_path / run).mkdir()
    done = subprocess.run(
        [*LAUNCH, str(SCRIPT), str(tmp_path), *RUNS],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    (off, _), (on, health), (untold, _), (fault, broken) = (ranks(tmp_path / run) for run in RUNS)
    assert len(off[0]["log"]) > 60
    assert on == off
    assert untold == off
    assert fault == off
    assert health[0] == health[1]
    assert [f["code"] for f in health[0]["findings"] if f["code"] == "SFT303"] == ["SFT303"]
    told = done.stderr.partition("sftdiag: run on\n")[2].partition("sftdiag: run untold\n")[0]
    assert told.count("sftdiag: warning SFT303") == 1
    steps = [row["step"] for row in probes.read(str(tmp_path / "on"))]
    assert steps == [0, 20, 40, 60]
    assert broken[0] == broken[1]
    assert "failed" in broken[0]["skipped"]["forgetting"]
