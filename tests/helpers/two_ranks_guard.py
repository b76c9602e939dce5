"""One rank of runs with a poisoned batch under a guard; ``accelerate launch`` starts two of them.

    accelerate launch --multi_gpu --num_processes=2 two_ranks_guard.py FOLDER RUNS

Each run's rows are bad at one step, of the first rank only, or of both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def run(folder: Path, number: int) -> dict[str, Any]:
    """Train one run; return what this rank saw of it."""
    import sftdiag
    from benchmarks.guard import poison

    # A spike is known only after the noise is; a NaN at once.
    step = 3 + number % 8
    trainer = poison.make(
        *(poison.KINDS[:: len(poison.KINDS) - 1][number % 2], folder),
        steps=(step,),
        rows_a_step=8,
        per_device_train_batch_size=4,
        max_steps=12,
        logging_steps=5,
    )
    callback = sftdiag.attach(trainer, guard=True, ignore=["SFT4", "SFT5"])
    trainer.train()
    found = [f for f in callback.report.findings if f.code == "SFT113"]
    return {
        "poisoned": step,
        "skipped": [int(n) for f in found for n in str(f.evidence["steps_named"]).split()],
        "rows": [[rows.rank, list(rows.rows)] for f in found for rows in f.rows],
        "finite": all(bool(p[3:].isfinite().all()) for p in trainer.model.parameters()),
        "step": trainer.state.global_step,
    }


def main(folder: Path, runs: int) -> None:
    """Train the runs one after another, and write what this rank saw."""
    seen = [run(folder / str(number), number) for number in range(runs)]
    rank = torch.distributed.get_rank()
    (folder / f"rank-{rank}.json").write_text(json.dumps(seen))
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
