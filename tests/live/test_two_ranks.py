"""Two ranks of one run, gloo on the CPU: they decide alike, and one of them tells."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

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


def cases(backend: str, names: list[str], repetitions: int = 1) -> dict[str, Any]:
    """Do cases of benchmarks/gpu/ranks on two processes; none may hang, and all go as they must."""
    from benchmarks.gpu.ranks import report
    from benchmarks.gpu.ranks.launch import LIMIT, run

    wanted = [f"{name}:{n}" for n in range(repetitions) for name in names]
    deadline = time.monotonic() + 180 + LIMIT * len(wanted)
    result = run(backend, "cpu", wanted, limit=LIMIT, deadline=deadline)
    assert report.problems(result) == []
    assert list(result["cases"]) == wanted
    return {name: result["cases"][f"{name}:0"]["ranks"] for name in names}


def steps(ranks: list[Any]) -> list[list[int]]:
    return [[run["step"] for run in rank["runs"]] for rank in ranks]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_ranks_decide_alike() -> None:
    """Each case once, on one pair of processes."""
    seen = cases(
        "ddp",
        [
            *(
                "raise",
                "rows-stop",
                "rows-eval",
                "more-before",
                "resume",
                "smoke",
                "probes",
                "best",
                "fails-row",
                "fails-guard",
                "guard",
            ),
            # Stopped within two rows, or it is a problem.
            *("nan-one-1", "nan-one-10", "nan-gradient-1", "blow-up-1"),
        ],
    )
    assert [run["raised"][:12] for rank in seen["raise"] for run in rank["runs"]] == [
        "error SFT106"
    ] * 2
    # Only rank 1's rows are faulty: both stop, at once, and say whose rows they are.
    assert steps(seen["rows-stop"]) == [[1], [1]]
    assert steps(seen["rows-eval"]) == [[10], [10]]
    for name in ("rows-stop", "rows-eval"):
        first, *_ = seen[name][0]["told"]
        assert "SFT401" in first
        assert "Only the rows of rank 1 show it" in first
        assert seen[name][1]["told"] == []
    # Runs watched on one rank are left alone, and those on both know nothing of them.
    (short, stopped, *rest), other = steps(seen["more-before"])
    assert (short, rest) == (4, [4, stopped])
    assert other == [short, stopped, *rest]
    assert 10 < stopped < 24
    told = [rank["told"] for rank in seen["more-before"]]
    for rank, line in enumerate(("rank 1 of 2 has no", "rank 0 of 2 has no")):
        assert [line in text for text in told[rank]].count(True) == 1
    assert steps(seen["resume"])[0][0] == 8
    assert [run["smoke"] for rank in seen["smoke"] for run in rank["runs"]] == ["go"] * 2
    assert [run["verdict"] for rank in seen["probes"] for run in rank["runs"]] == ["healthy"] * 2


PARTS = 6
"""Of the cases that could hang: one takes minutes."""


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("backend", ["ddp", "fsdp2"])
def test_no_case_hangs(backend: str, part: int) -> None:
    """What could, twenty times each."""
    from benchmarks.gpu.ranks.cases import CASES

    often = [name for name, case in CASES.items() if case.often and case.fits(backend, "cpu")]
    cases(backend, often[part::PARTS], repetitions=20)


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
@pytest.mark.timeout(900)
def test_a_nan_in_a_sharded_gradient_is_seen_at_its_step() -> None:
    """FSDP2's norm is a DTensor: the guard skips its step on both ranks, and a row tells of it."""
    seen = cases("fsdp2", ["guard", "fails-guard", "nan-gradient-1"])
    for rank in seen["guard"]:
        (run,) = rank["runs"]
        (found,) = run["findings"]
        assert found[1] == "SFT113"
        assert "step 11" in found[4]
        assert "gradient norm was nan" in found[4]


@pytest.mark.acceptance
@pytest.mark.timeout(2400)
def test_no_rank_is_left_behind(tmp_path: Path) -> None:
    """Three policies, ten times each."""
    drill(
        tmp_path, [f"{policy}-{n}" for n in range(10) for policy in ("severity", "codes", "raise")]
    )
