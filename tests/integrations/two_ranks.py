"""One rank of a run that breaks and is stopped; started twice by test_callback.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))


def main(folder: Path) -> None:
    import finetune

    import sftdiag

    trainer = finetune.make_trainer(
        "nan-weights", folder, logging_steps=1, per_device_train_batch_size=8
    )
    callback = sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    result = {
        "step": trainer.state.global_step,
        "findings": [finding.to_dict() for finding in callback.report.findings],
    }
    (folder / f"rank-{trainer.args.process_index}.json").write_text(json.dumps(result))
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
