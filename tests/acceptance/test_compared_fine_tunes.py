"""Fine-tunes on a GPU against their healthy twins: docs/gpu.md's runs."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from pathlib import Path

import pytest

from benchmarks.gpu.finetunes.results import Run, load
from benchmarks.gpu.finetunes.score import score
from sftdiag.comparisons.outcome import compared
from sftdiag.context import RunContext
from sftdiag.signals.course import Course, course_of

pytestmark = pytest.mark.acceptance

RUNS = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "runs"

ALIKE = (
    "trap",
    "method",
    "rows",
    "source",
    "optim",
    "epochs",
    "batch",
    "learning_rate",
    "eval_rows",
)
"""What two healthy runs must share to differ in their seed and logging alone."""


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return load(RUNS)


@pytest.fixture(scope="module")
def courses(runs: list[Run]) -> dict[str, Course]:
    return {r.spec.name: course_of(r.spec.name, r.full.log, RunContext()) for r in runs}


def test_healthy_seeds_are_alike(runs: list[Run], courses: dict[str, Course]) -> None:
    groups = defaultdict(list)
    for run in runs:
        if not run.faulty:
            groups[tuple(getattr(run.spec, name) for name in ALIKE)].append(run.spec.name)
    pairs = [pair for names in groups.values() for pair in permutations(names, 2)]
    apart = [pair for pair in pairs if compared(*(courses[n] for n in pair)).outcome != "alike"]
    assert len(pairs) >= 100
    assert len(apart) <= len(pairs) / 100, apart


def test_harmful_faults_are_worse_than_their_twins(
    runs: list[Run], courses: dict[str, Course]
) -> None:
    outcomes = []
    for scored in score(runs):
        if not scored.harm:
            continue
        twins = [
            run
            for run in runs
            if not run.faulty and not run.spec.trap and run.spec.twin == scored.run.spec.twin
        ]
        own = courses[scored.run.spec.name]
        outcomes += [compared(courses[twin.spec.name], own).outcome for twin in twins]
    assert len(outcomes) >= 200
    assert outcomes.count("worse") >= 0.9 * len(outcomes)
