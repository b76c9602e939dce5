"""One rank: does the cases that it is given, one after another, each under a hard time limit.

    torchrun -m benchmarks.gpu.ranks.worker SUITE BACKEND DEVICE FOLDER LIMIT CASE:N ...

SUITE is a module with ``CASES`` and ``bench``; N counts repetitions.

Writes a line of json a case to ``FOLDER/rank-N.jsonl``. A case that is not over in time ends the
process, and with it the other rank.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

LIMIT = 60
"""Seconds for a case in which its processes were let run."""


class Watchdog(threading.Thread):
    """Ends the process after so many seconds in which it was let run, and says where it was."""

    def __init__(self, seconds: int) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._seconds = seconds
        self.start()

    def run(self) -> None:
        """Count: a process that is stopped, as for someone else's measurement, counts nothing."""
        for _ in range(self._seconds):
            if self.over.wait(1.0):
                return
        faulthandler.dump_traceback(all_threads=True)
        os._exit(1)


def main(
    suite: str, backend: str, device: str, folder: Path, limit: int, wanted: list[str]
) -> None:
    """Do the cases."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device == "one-gpu":
        # Barriers and DeepSpeed take the GPU of this number; DeepSpeed would not ask for gloo.
        os.environ["LOCAL_RANK"] = "0"
        torch.distributed.init_process_group("gloo")
    from transformers.utils import logging as theirs

    from benchmarks.gpu.ranks import delays
    from benchmarks.gpu.ranks.bench import Told

    cases: Any = importlib.import_module(suite)
    theirs.set_verbosity_error()  # type: ignore[no-untyped-call]
    told = Told()
    logging.getLogger("sftdiag").addHandler(told)
    logging.getLogger("sftdiag").setLevel(logging.INFO)
    out = folder / f"rank-{rank}.jsonl"
    bench = cases.bench(backend, rank, world, folder / "runs", device)
    bench.trainer()  # which starts the process group, in whatever time that takes
    for name in wanted:
        # Hundreds of steps, where it is seldom logged, take ZeRO-3 longer than that.
        watchdog = Watchdog(limit + 3 * delays.every(name.partition(":")[0]))
        told.lines.clear()
        began = time.monotonic()
        seen: dict[str, Any] = {"case": name}
        try:
            seen["runs"] = cases.CASES[name.partition(":")[0]].run(bench)
        except Exception as error:
            seen["error"] = f"{type(error).__name__}: {error}"[:600]
            seen["traceback"] = traceback.format_exc()[-1500:]
        seen["seconds"] = round(time.monotonic() - began, 1)
        seen["told"] = list(told.lines)
        with out.open("a") as file:
            file.write(json.dumps(seen) + "\n")
        bench.clear()
        watchdog.over.set()
    # A rank that leaves while the other still talks to it is aborted by gloo.
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    suite, backend, device, folder, limit, *cases = sys.argv[1:]
    main(suite, backend, device, Path(folder), int(limit), cases)
