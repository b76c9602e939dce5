"""One rank of runs whose rows are looked at; ``accelerate launch`` starts two of them.

    accelerate launch --multi_gpu --num_processes=2 two_ranks_rows.py FOLDER KIND...

A kind is three numbers, ``4-2-1``: batches accumulated, workers, and whether rows are packed. Each
is trained over the end of an epoch, and resumed in the middle of the first and of the second.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from seen_rows import flat, watch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

STEPS, SAVED = 12, (5, 10)
ROWS, PACKS = 96, 32
"""Rows, or packs of them, in a step of both ranks: an epoch is six steps and a part of one."""


def make(folder: Path, kind: str) -> Any:
    """Return a trainer of a kind of run."""
    import finetune

    accumulated, workers, packed = map(int, kind.split("-"))
    return finetune.make_trainer(
        *("none", folder),
        max_steps=STEPS,
        per_device_train_batch_size=(PACKS if packed else ROWS) // 2 // accumulated,
        gradient_accumulation_steps=accumulated,
        dataloader_num_workers=workers,
        packing=bool(packed),
        max_length=64 if packed else None,
        logging_steps=4,
        eval_strategy="no",
        save_strategy="steps",
        save_steps=SAVED[0],
    )


def run(folder: Path, kind: str, resume_from: int) -> dict[str, Any]:
    """Train; return what each step was trained on, and the rows that are said to be it."""
    packed = kind.endswith("1")
    trainer = make(folder, kind)
    saved = str(folder / f"checkpoint-{resume_from}") if resume_from else None
    steps = {}
    for seen, said in watch(trainer, saved):
        held = [list(trainer.train_dataset[row]["input_ids"]) for row in said.rows]
        steps[said.step] = {
            "rank": said.rank,
            "rows": list(said.rows),
            "same": (flat(held) == flat(seen)) if packed else held == seen,
            "tokens": len(flat(seen)),
        }
    return {"rows": len(trainer.train_dataset), "steps": steps}


def main(folder: Path, kinds: list[str]) -> None:
    """Make the runs of each kind, and write what this rank saw."""
    seen = {}
    for kind in kinds:
        for resume_from in (0, *SAVED):
            seen[f"{kind} from {resume_from}"] = run(folder / kind, kind, resume_from)
    rank = torch.distributed.get_rank()
    (folder / f"rank-{rank}.json").write_text(json.dumps(seen))
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
