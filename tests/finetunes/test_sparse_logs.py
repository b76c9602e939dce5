"""Where each step is seen, a run is judged alike at any logging_steps; by the GPU's stored runs."""

from __future__ import annotations

from benchmarks.gpu import sparse


def test_every_twentieth_run_is_judged_as_by_its_whole_log() -> None:
    """All of them: ``python benchmarks/gpu/sparse.py``."""
    paths = sorted(sparse.RUNS.glob("*.json.xz"))[::20]
    for count in sparse.compare(paths).values():
        assert count["runs"] >= 8
        for name in ("verdict", "first finding", "all findings"):
            assert count[f"{name}, steps seen"] == count["runs"]
        assert count["all findings, log alone"] < count["runs"]
