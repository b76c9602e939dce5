"""A fleet read by Ray tasks on a local cluster of two workers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from logs import healthy, overfitting, write_state

from sftdiag.config import Settings
from sftdiag.fleets import engines
from sftdiag.fleets.finding import runs_below
from sftdiag.fleets.fleet import fleet
from sftdiag.fleets.judging import judged_all
from sftdiag.fleets.row import UNREADABLE, Row

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(10):
        rows = overfitting() if number % 3 == 0 else healthy(seed=number)
        write_state(tmp_path / f"run{number}" / "trainer_state.json", rows)
    (tmp_path / "run4" / "trainer_state.json").write_text("{")
    return tmp_path


def test_ray_says_the_same(root: Path) -> None:
    by_ray = fleet(root, engine="ray", jobs=2, cached=False)
    assert by_ray == fleet(root, jobs=1, cached=False)
    assert by_ray.count("error") == 4


def test_a_worker_that_dies_is_run_again(root: Path) -> None:
    marks = root / "marks"
    marks.mkdir()

    def dies_once(paths: Sequence[str], settings: Settings) -> list[Row]:
        mark = marks / os.path.basename(paths[0])
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return judged_all(paths, settings)

    runs = runs_below([str(root)])
    found = list(engines.on_ray(runs, Settings(), 2, dies_once))
    assert len(list(marks.iterdir())) == len(engines.tasks(runs, 2))
    assert sorted(found, key=lambda row: row.run) == judged_all(runs, Settings())


def test_a_worker_that_always_dies_costs_its_runs_only(root: Path) -> None:
    def dies(paths: Sequence[str], settings: Settings) -> list[Row]:
        if any(path.endswith("run2") for path in paths):
            os._exit(1)
        return judged_all(paths, settings)

    runs = runs_below([str(root)])
    found = {row.run: row for row in engines.on_ray(runs, Settings(), 2, dies)}
    assert len(found) == len(runs)
    lost = [row for row in found.values() if "Crashed" in (row.reason or "")]
    assert [row.verdict for row in lost] == [UNREADABLE] * len(lost)
    assert any(row.run.endswith("run2") for row in lost)
    assert len(lost) <= engines.LARGEST_TASK
