"""One rank of runs that are asked; ``accelerate launch`` starts two of them.

python two_ranks_probing.py FOLDER RUN...    # each run in a folder of its name
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

RUNS = ("off", "on", "untold", "fault")
"""Without probes, with them, with probes whose rows the rank that asks cannot keep, and with probes
that fail there."""


def watch(folder: Path, run: str) -> None:
    """Train a run whose replies will not end, and write what this rank saw of it."""
    import finetune
    import tiny_models

    import sftdiag
    from sftdiag.outlets.fan_out import Outlets
    from sftdiag.probing.ask import Asker

    inside = " <|end|>{% endgeneration %}"
    finetune.TEMPLATE = finetune.TEMPLATE.replace(inside, "{% endgeneration %} <|end|>")
    trainer = finetune.make_trainer(
        *("none", folder),
        dropout=0.2,
        logging_steps=1,
        per_device_train_batch_size=8,
        max_steps=60,
        eval_steps=20,
    )
    asked = sftdiag.Probes(seconds=60, reply_tokens=16, texts=tiny_models.GENERAL)
    callback = sftdiag.attach(trainer, probes=None if run == "off" else asked)
    part = {"untold": (Outlets, "keep_probe_rows"), "fault": (Asker, "losses")}.get(run)
    with patch.object(*part, broken) if part else nullcontext():
        trainer.train()
    wrapped = trainer.model_wrapped
    assert isinstance(wrapped, torch.nn.parallel.DistributedDataParallel)
    digest = hashlib.sha256()
    for parameter in trainer.model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    result = {
        "log": [
            {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
            for row in trainer.state.log_history
        ],
        "weights": digest.hexdigest(),
        "drawn": float(torch.rand(())),
        "wrapped": [wrapped.training, wrapped.require_backward_grad_sync],
        "findings": [finding.to_dict() for finding in callback.report.findings],
        "skipped": callback.report.skipped,
    }
    (folder / f"rank-{trainer.args.process_index}.json").write_text(json.dumps(result))


def broken(self: Any, rows: Any, *arguments: Any, **options: Any) -> None:
    """Raise, in the place of what only world rank 0 does."""
    if rows:
        raise ZeroDivisionError


def main(folder: Path, runs: list[str]) -> None:
    """Train the runs one after another."""
    for run in runs:
        if os.environ["RANK"] == "0":
            sys.stderr.write(f"sftdiag: run {run}\n")
        watch(folder / run, run)
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
