"""What the cases train: the example's tiny chat model, spread over the ranks by a backend."""

from __future__ import annotations

import gc
import importlib
import logging
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

import sftdiag
from benchmarks.gpu.ranks.delays import STEPS
from sftdiag.sources import journal

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))
finetune: Any = importlib.import_module("finetune")

SHARDED = ("fsdp2", "zero3")
"""Backends under which a rank holds a part of each weight."""

DEEPSPEED = ("zero2", "zero3")
"""Backends that a guard leaves to themselves."""

finetune.FAULTS["few"] = finetune.Fault("rows that follow a rule", rows=320)


class Told(logging.Handler):
    """Keeps what sftdiag says on this rank."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


class _NanGradient(torch.autograd.Function):
    """Passes a loss on as it is, and NaN back as its gradient."""

    @staticmethod
    def forward(ctx: Any, loss: Any) -> Any:
        """See torch."""
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """See torch."""
        return gradients[0] * math.nan


class Bench:
    """One rank of the cases of one backend.

    Args:
        backend: ``"ddp"``, ``"fsdp2"``, ``"zero2"`` or ``"zero3"``.
        rank: this one's number.
        world: how many there are.
        folder: where the runs go, the same on every rank.
        device: ``"cuda"``, in bf16, a GPU a rank; ``"one-gpu"``, one for all ranks, which then
            talk by gloo, since NCCL refuses; or ``"cpu"``.
    """

    def __init__(self, backend: str, rank: int, world: int, folder: Path, device: str) -> None:
        self.backend, self.rank, self.world, self.folder = backend, rank, world, folder
        self.cuda, self._shared = device != "cpu", device == "one-gpu"
        self._count = 0

    @property
    def saves(self) -> bool:
        """Whether a checkpoint can be written: without a GPU, FSDP2's cannot."""
        return self.cuda or self.backend != "fsdp2"

    def trainer(self, *, folder: str | None = None, **arguments: Any) -> Any:
        """Return a trainer of the healthy run; its folder is a new one unless it is named."""
        where = self.begin(folder)
        chosen = {
            "max_steps": STEPS,
            "logging_steps": 1,
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 40,
            "eval_strategy": "no",
            "warmup_steps": 4,
            **self.spread(),
            **arguments,
        }
        return finetune.make_trainer("few", where, **chosen)

    def begin(self, folder: str | None = None) -> Path:
        """Forget how the trainer before was spread; return the next one's folder."""
        from accelerate.state import AcceleratorState, GradientState

        AcceleratorState._reset_state()
        GradientState._reset_state()
        self._count += 1
        return self.folder / (folder or f"run-{self._count}")

    def spread(self) -> dict[str, Any]:
        """Return the arguments of the device and the backend."""
        device = {"use_cpu": not self.cuda, "bf16": self.cuda, "dataloader_pin_memory": False}
        by = {"ddp_backend": "gloo"} if self._shared else {}
        return {**device, **by, **self._sharded()}

    def _sharded(self) -> dict[str, Any]:
        if self.backend == "fsdp2":
            if not self.cuda:
                _shard_on_the_cpu()
            return {
                "fsdp": True,
                "fsdp_config": {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]},
            }
        if self.backend.startswith("zero"):
            return {
                "deepspeed": {
                    "zero_optimization": {"stage": int(self.backend[-1])},
                    "bf16": {"enabled": "auto"},
                    "train_micro_batch_size_per_gpu": "auto",
                    "train_batch_size": "auto",
                    "gradient_accumulation_steps": "auto",
                    "gradient_clipping": "auto",
                    "zero_allow_untested_optimizer": True,
                }
            }
        return {}

    def train(self, trainer: Any, callback: Any = None, **options: Any) -> dict[str, Any]:
        """Train and return what this rank saw of it."""
        began, raised = time.monotonic(), ""
        try:
            trainer.train(**options)
        except sftdiag.UnhealthyRunError as error:
            raised = str(error)
        seen = {
            "step": trainer.state.global_step,
            "raised": raised,
            "seconds": round(time.monotonic() - began, 1),
            "log": [
                [row["step"], row["loss"], row.get("grad_norm")]
                for row in trainer.state.log_history
                if "loss" in row
            ],
        }
        if callback is not None:
            report = callback.report
            events = Counter(each["event"] for each in journal.read(trainer.args.output_dir))
            seen["journal"] = [events["start"], events["end"]] if self.rank == 0 else None
            seen["verdict"] = report.verdict
            seen["findings"] = [
                [f.severity.label, f.code, f.name, f.fired_step, f.message] for f in report.findings
            ]
            seen["skipped"] = {
                name: report.skipped[name]
                for name in ("forgetting", "repetitive-output")
                if name in report.skipped
            }
        gc.collect()
        return seen

    def clear(self) -> None:
        """Delete the runs of a case, once all ranks are done with them."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if self.rank == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if self.cuda:
            torch.cuda.empty_cache()


def nan_loss(trainer: Any, at: int, steps: float = math.inf) -> None:
    """Have the loss and its gradient be NaN from a step on, for so many."""
    _change_loss(trainer, at, lambda loss: loss * math.nan, steps)


def nan_gradient(trainer: Any, at: int, steps: float = math.inf) -> None:
    """Have the gradient be NaN from a step on, for so many, and the loss stay as it is."""
    _change_loss(trainer, at, _NanGradient.apply, steps)


def _change_loss(
    trainer: Any, at: int, change: Callable[[Any], Any], steps: float = math.inf
) -> None:
    compute = trainer.compute_loss

    def changed(model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        loss = compute(model, inputs, *rest, **options)
        if not model.training or not at <= trainer.state.global_step < at + steps:
            return loss
        return (change(loss[0]), *loss[1:]) if isinstance(loss, tuple) else change(loss)

    trainer.compute_loss = changed


def nan_logged(trainer: Any, at: int) -> None:
    """Have this rank's part of the logged loss be NaN from a step on, and nothing else."""
    step = trainer.training_step

    def changed(*given: Any, **options: Any) -> Any:
        loss = step(*given, **options)
        return loss if trainer.state.global_step < at else loss * math.nan

    trainer.training_step = changed


class Masked:
    """A collator that labels nothing."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, rows: Any) -> Any:
        """Collate, and mask every label."""
        batch = self.collate(rows)
        batch["labels"] = torch.full_like(batch["labels"], -100)
        return batch


class Slow(TrainerCallback):
    """Holds up one rank at the start, as a tracker does that logs in, or at every step."""

    def __init__(self, seconds: float, each: float = 0.0) -> None:
        self.seconds, self.each = seconds, each

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait."""
        time.sleep(self.each)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait."""
        time.sleep(self.seconds)


def _shard_on_the_cpu() -> None:
    """Have accelerate shard on the CPU, where it leaves FSDP out without a word; torch does it."""
    from accelerate import PartialState, state
    from accelerate.utils import DistributedType

    if getattr(state.AcceleratorState, "_sharding_on_the_cpu", False):
        return
    begin = state.AcceleratorState.__init__

    def begin_as_on_gpus(self: Any, *args: Any, **kwargs: Any) -> None:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        begin(self, *args, **kwargs)

    state.AcceleratorState.__init__ = begin_as_on_gpus
    state.AcceleratorState._sharding_on_the_cpu = True
