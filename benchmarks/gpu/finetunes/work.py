"""Workers side by side on one GPU, each with a run at a time, until the time is over."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu.finetunes import results
from benchmarks.gpu.finetunes.matrix import Spec
from benchmarks.gpu.finetunes.results import ENDING

LEFT = 45.0
"""Seconds before the end in which no run is begun: most are shorter."""

Task = tuple[Spec, bool]
"""A run, and whether it is watched."""

Group = list[Task]
"""Runs that one worker makes one after another."""


def done(folder: Path) -> set[str]:
    """Return the names of the runs that are there."""
    return {path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}")}


def name(task: Task) -> str:
    """Return a task's name, its file's without the ending."""
    spec, watched = task
    return results.name(spec, watched=watched)


def begin_with(groups: list[Group], start: str) -> list[Group]:
    """Return the tasks whose name begins so."""
    return [[task for task in group if name(task).startswith(start)] for group in groups]


Make = Callable[[Path, Path, Path, bool], Any]
"""Makes a worker's bench of the base, the text, a scratch folder, and whether it is tiny."""


def of_first_base(base: Path, text: Path, scratch: Path, tiny: bool) -> Any:
    """Return the bench of the base that was pretrained here."""
    from benchmarks.gpu.finetunes.text import questions
    from benchmarks.gpu.finetunes.train import Bench

    return Bench(base, questions(text), scratch, tiny=tiny)


def work(
    queue: Any,
    make: Make,
    base: Path,
    text: Path,
    to: Path,
    scratch: Path,
    end: float,
    tiny: bool,
) -> None:
    """Do groups of tasks until there is none, or no time."""
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    logging.disable(logging.ERROR)
    bench = make(base, text, scratch, tiny)
    bench.warm_up()
    while (group := queue.get()) is not None:
        for task in group:
            if time.time() > end - LEFT:
                return
            _do(bench, task, to)


def _do(bench: Any, task: Task, to: Path) -> None:
    began = time.time()
    try:
        result = bench.run(task[0], watched=task[1])
    except Exception:
        print(f"{name(task)} failed:\n{traceback.format_exc()}", flush=True)
        return
    part = to / f"{name(task)}.part"
    results.write(part, result)
    part.rename(to / f"{name(task)}{ENDING}")
    found = [f["code"] for f in result["findings"]] if task[1] else []
    print(
        f"{name(task)}: {result['steps']} of {result['max_steps']} steps, "
        f"{time.time() - began:.0f} s, {result['losses']}, {found} {result['error'] or ''}",
        flush=True,
    )


def run(
    groups: list[Group],
    base: Path,
    text: Path,
    to: Path,
    scratch: Path,
    *,
    seconds: float,
    workers: int,
    tiny: bool,
    make: Make = of_first_base,
) -> int:
    """Do what is left of the tasks; return how many are left after the time given."""
    to.mkdir(parents=True, exist_ok=True)
    end = time.time() + seconds
    spawned = multiprocessing.get_context("spawn")
    queue: Any = spawned.Queue()
    there = done(to)
    for group in groups:
        # Of a pair whose times are compared both are made again.
        if any(name(task) not in there for task in group):
            queue.put(group)
    for _ in range(workers):
        queue.put(None)
    arguments = (queue, make, base, text, to, scratch, end, tiny)
    processes = [spawned.Process(target=work, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(max(0.0, end - time.time()))
        if process.is_alive():
            process.terminate()
    queue.cancel_join_thread()
    there = done(to)
    return len([task for group in groups for task in group if name(task) not in there])
