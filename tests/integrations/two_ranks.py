"""One rank of a run that breaks and is stopped; ``accelerate launch`` starts two of them.

python two_ranks.py FOLDER POLICY...    # one run a policy, each in a folder of its name
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

POLICIES: dict[str, dict[str, Any]] = {
    # Rank 1 is not told of it, as where the settings file is on one host only.
    "severity": {"stop_on": "error"},
    "codes": {"stop_on": {"SFT106": "error", "SFT201": "info"}, "save_on_stop": True},
    "raise": {"raise_on": {"non-finite"}},
}


def watch(folder: Path, policy: str) -> None:
    """Train one run in a folder under a policy, and write what this rank saw of it."""
    import finetune

    import sftdiag

    trainer = finetune.make_trainer(
        "nan-weights",
        folder,
        logging_steps=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        average_tokens_across_devices=True,
        save_strategy="steps",
        save_steps=20,
    )
    first = trainer.args.process_index == 0
    callback = sftdiag.attach(trainer, **POLICIES[policy] if first or policy != "severity" else {})
    raised = ""
    try:
        trainer.train()
    except sftdiag.UnhealthyRunError as error:
        raised = str(error)
    result = {
        "step": trainer.state.global_step,
        "findings": [finding.to_dict() for finding in callback.report.findings],
        "raised": raised,
    }
    (folder / f"rank-{trainer.args.process_index}.json").write_text(json.dumps(result))


def main(folder: Path, runs: list[str]) -> None:
    """Train the runs one after another; ``NAME`` or ``NAME-COUNT`` of a policy."""
    for run in runs:
        if os.environ["RANK"] == "0":
            sys.stderr.write(f"sftdiag: run {run}\n")
        watch(folder / run, run.partition("-")[0])
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
