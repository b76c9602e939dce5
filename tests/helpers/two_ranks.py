"""One rank of a run that breaks and is stopped; ``accelerate launch`` starts two of them.

    accelerate launch --multi_gpu --num_processes=2 two_ranks.py FOLDER POLICY...

One run a policy, each in a folder of its name; also on a machine without a GPU. Under the policy
``fsdp`` the weights are sharded over the ranks.
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
    "fsdp": {"stop_on": "error", "smoke_steps": 10, "probes": True},
}


def shard_on_the_cpu() -> dict[str, Any]:
    """Have accelerate shard on the CPU, where it leaves FSDP out without a word; torch does it."""
    from accelerate import PartialState, state
    from accelerate.utils import DistributedType

    begin = state.AcceleratorState.__init__

    def begin_as_on_gpus(self: Any, *args: Any, **kwargs: Any) -> None:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        begin(self, *args, **kwargs)

    state.AcceleratorState.__init__ = begin_as_on_gpus
    return {
        "fsdp": True,
        "fsdp_config": {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]},
    }


def break_a_shard(step: int) -> Any:
    """Return a callback that sets a weight to NaN, a part of it on each rank."""
    from transformers import TrainerCallback

    class BreakShard(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                with torch.no_grad():
                    next(kwargs["model"].parameters()).to_local().fill_(float("nan"))

    return BreakShard()


def watch(folder: Path, policy: str) -> None:
    """Train one run in a folder under a policy, and write what this rank saw of it."""
    import finetune

    import sftdiag

    sharded = policy == "fsdp"
    trainer = finetune.make_trainer(
        "none" if sharded else "nan-weights",
        folder,
        logging_steps=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        average_tokens_across_devices=True,
        # Without a GPU, safetensors cannot read what FSDP gathers to save.
        save_strategy="no" if sharded else "steps",
        save_steps=20,
        **(shard_on_the_cpu() if sharded else {}),
    )
    if sharded:
        trainer.add_callback(break_a_shard(60))
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
        "weights": type(next(trainer.model_wrapped.parameters())).__name__,
        "skipped": dict(callback.report.skipped),
        "gradients": getattr(callback.smoke.result, "gradients", None) is not None,
    }
    (folder / f"rank-{trainer.args.process_index}.json").write_text(json.dumps(result))


def main(folder: Path, runs: list[str]) -> None:
    """Train the runs one after another; ``NAME`` or ``NAME-COUNT`` of a policy."""
    for run in runs:
        if os.environ["RANK"] == "0":
            sys.stderr.write(f"sftdiag: run {run}\n")
        (folder / run).mkdir(parents=True, exist_ok=True)
        watch(folder / run, run.partition("-")[0])
    # A rank that leaves while the other still talks to it is aborted by gloo.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
