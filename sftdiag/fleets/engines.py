"""Engines: who reads the runs. Lines come in any order, as they are made."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from sftdiag.config import Settings
from sftdiag.errors import SftdiagError
from sftdiag.fleets.judging import Work, judged_all
from sftdiag.fleets.row import Row, unreadable

LARGEST_TASK = 32
"""Runs a task at most: a line every few seconds even of long logs."""

TASKS_A_JOB = 4
"""Tasks a process at least, so that none waits long for the last one."""

NEEDS_RAY = "this needs Ray: pip install 'sftdiag[ray]'"
"""Said where Ray is asked for and not installed."""

RETRIES = 3
"""Times that Ray runs a task again whose worker died."""


def tasks(runs: Sequence[str], jobs: int) -> list[Sequence[str]]:
    """Return the runs in the parts that one task reads.

    Examples:
        >>> [len(part) for part in tasks(["a"] * 10, 2)]
        [2, 2, 2, 2, 2]
    """
    size = max(1, min(LARGEST_TASK, -(-len(runs) // (jobs * TASKS_A_JOB))))
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def local(
    runs: Sequence[str], settings: Settings, jobs: int = 1, work: Work = judged_all
) -> Iterator[Row]:
    """Yield the lines of the runs, read by so many processes of this machine.

    Where a process dies, its runs and those that waited are read again, one at a time.
    """
    if jobs <= 1:
        for run in runs:
            yield from work([run], settings)
        return
    lost: list[str] = []
    pool = ProcessPoolExecutor(jobs, _context())
    try:
        futures = {pool.submit(work, part, settings): part for part in tasks(runs, jobs)}
        for done in as_completed(futures):
            try:
                yield from done.result()
            except BrokenProcessPool:
                lost += futures[done]
    finally:
        pool.shutdown(cancel_futures=True)
    yield from _one_by_one(lost, settings, work)


def _one_by_one(runs: Sequence[str], settings: Settings, work: Work) -> Iterator[Row]:
    """Yield the lines of runs among which is one that a process died with: which, shows here."""
    pool: ProcessPoolExecutor | None = None
    for run in runs:
        pool = pool or ProcessPoolExecutor(1, _context())
        try:
            yield from pool.submit(work, [run], settings).result()
        except BrokenProcessPool:
            yield unreadable(run, f"{run}: the process that read it died")
            pool.shutdown()
            pool = None
    if pool is not None:
        pool.shutdown()


def _context() -> Any:
    """Return how processes start: at once where nothing else runs in this one."""
    alone = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if alone else "spawn")


def on_ray(
    runs: Sequence[str], settings: Settings, jobs: int = 1, work: Work = judged_all
) -> Iterator[Row]:
    """Yield the lines of the runs, read as Ray tasks on the cluster that is there, or a local one.

    A task whose worker dies is run again by Ray.
    """
    ray = _ray()
    with cluster(jobs):
        task = ray.remote(max_retries=RETRIES, num_cpus=1)(work)
        chosen = ray.put(settings)
        waiting = {task.remote(list(part), chosen): part for part in tasks(runs, jobs)}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            part = waiting.pop(done)
            try:
                yield from ray.get(done)
            except ray.exceptions.RayError as error:
                yield from (unreadable(run, f"{run}: {type(error).__name__}") for run in part)


@contextmanager
def cluster(jobs: int) -> Iterator[None]:
    """Join the Ray cluster that is there, or start a local one of so many processors."""
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        known = os.environ.get("RAY_ADDRESS")
        local_only = {} if known else {"num_cpus": jobs, "include_dashboard": False}
        ray.init(address=known, log_to_driver=False, **local_only)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def _ray() -> Any:
    """Return the package.

    Raises:
        SftdiagError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SftdiagError(NEEDS_RAY).keyed("needs_ray") from None
    return ray
