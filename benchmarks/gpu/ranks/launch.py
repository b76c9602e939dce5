"""Starts the ranks of a backend on its cases, and goes on behind a case that hangs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu.installed import versions
from benchmarks.gpu.ranks.worker import LIMIT

PACKAGES = ("torch", "transformers", "accelerate", "trl", "deepspeed")

START = 150
"""Seconds to start some Python processes with all libraries, on a machine that is busy."""

ALONE = "single"
"""The backend of one process: what a healthy run says there is what it may say on two ranks."""


def run(
    backend: str,
    device: str,
    cases: Sequence[str],
    *,
    limit: int,
    deadline: float,
    world: int = 2,
    suite: str = "benchmarks.gpu.ranks.cases",
) -> dict[str, Any]:
    """Do cases on several ranks and return what each saw.

    Args:
        backend: see :class:`~benchmarks.gpu.ranks.bench.Bench`.
        device: ``"cuda"``, ``"one-gpu"`` or ``"cpu"``.
        cases: in their order, ``NAME:COUNT``.
        limit: seconds for each.
        deadline: when to end, on the clock of time.monotonic.
        world: how many ranks; of ``"single"`` one.
        suite: the module of the cases.
    """
    world = 1 if backend == ALONE else world
    seen: dict[str, dict[str, Any]] = {}
    left = list(cases)
    folder = Path(tempfile.mkdtemp(prefix=f"ranks-{backend}-"))
    try:
        while left and time.monotonic() < deadline:
            most = min(deadline - time.monotonic(), START + limit * len(left))
            code, said = _launch(suite, world, backend, device, folder, left, limit, most)
            done = [_read(folder / f"rank-{rank}.jsonl") for rank in range(world)]
            for name in left:
                if all(name in lines for lines in done):
                    seen[name] = {"ranks": [lines[name] for lines in done]}
            left = [name for name in left if name not in seen]
            if code and left and time.monotonic() < deadline:
                name = left.pop(0)
                part = [lines.get(name) for lines in done]
                seen[name] = {"ranks": part, "ended": said[-12000:]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "backend": backend,
        "device": device,
        "world": world,
        "limit": limit,
        "versions": versions(PACKAGES),
        "left": left,
        "cases": seen,
    }


def over(backends: Sequence[str], device: str, one: Callable[[str], int]) -> int:
    """Do something for each backend, on GPUs all at once; return 1 where anything went wrong.

    Args:
        backends: their names.
        device: ``"cuda"``, ``"one-gpu"`` or ``"cpu"``.
        one: does it for one and returns how much went wrong.
    """
    at_once = 1 if device == "cpu" else len(backends)
    with ThreadPoolExecutor(at_once) as pool:
        return int(any(list(pool.map(one, backends))))


def told(name: str, made: int, asked: int, wrong: Sequence[str]) -> int:
    """Print what became of the cases of a backend; return how many went wrong."""
    print(f"{name}: {made} of {asked}, wrong: {len(wrong)}", flush=True)
    for line in wrong:
        print(f"  {line}", flush=True)
    return len(wrong)


def _launch(
    suite: str,
    world: int,
    backend: str,
    device: str,
    folder: Path,
    cases: Sequence[str],
    limit: int,
    seconds: float,
) -> tuple[int, str]:
    """Return the exit status of the ranks and the end of what they said."""
    plain = backend if backend != ALONE else "ddp"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--local-addr", "127.0.0.1", "--nproc-per-node", str(world)),
        *("-m", "benchmarks.gpu.ranks.worker", suite, plain, device, str(folder), str(limit)),
        *cases,
    ]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    quiet["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    if device == "cpu":
        # Barriers of accelerate take a GPU where there is one.
        quiet["CUDA_VISIBLE_DEVICES"] = ""
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **quiet})
        try:
            code = process.wait(timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            # It ends its ranks, which it started in sessions of their own.
            process.terminate()
            process.wait()
            code = 124
    return code, log.read_text(errors="replace")


def _read(path: Path) -> dict[str, Any]:
    """Return what a rank wrote, by case."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {seen["case"]: seen for seen in map(json.loads, lines)}


__all__ = ["ALONE", "LIMIT", "over", "run", "told"]
