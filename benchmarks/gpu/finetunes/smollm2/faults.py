"""What is wrong with a trainer of the second base where its rows and arguments are right."""

from __future__ import annotations

from math import ceil, cos, pi
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.optimization import get_linear_schedule_with_warmup

from benchmarks.gpu.finetunes.smollm2.specs import Tune

SPIKE, SPIKE_SHARE = 30.0, 0.05
"""Factor of the rate, and for how much of the run."""

EARLY_END = 0.15
"""Share of the run after which the schedule has run down."""

UNMIXED = frozenset({"fp16", "bf16-tiny-rate"})
"""Faults of weights in 16 bits without mixed precision."""


class HiddenSpike(TrainerCallback):
    """Multiplies the optimizer's rate for some steps; the schedule, which is logged, is as ever."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do so."""
        if in_spike(state.global_step, state.max_steps, 0.6):
            for group in kwargs["optimizer"].param_groups:
                group["lr"] *= SPIKE


class PaddingCollator:
    """A collator of one's own, which makes a mistake with the padding.

    Args:
        pad: the padding token, which is the one that ends a turn.
        masked: train the whole text and mask every padding token, as transformers' collator for
            language modelling does, and with it the ends; else train the padding.
    """

    def __init__(self, pad: int, *, masked: bool) -> None:
        self.pad, self.masked = pad, masked

    def __call__(self, rows: list[Any]) -> dict[str, torch.Tensor]:
        """Collate."""
        width = max(len(row["input_ids"]) for row in rows)
        batch: dict[str, Any] = {"input_ids": [], "attention_mask": [], "labels": []}
        for row in rows:
            ids, lacking = list(row["input_ids"]), width - len(row["input_ids"])
            whole = [-100 if token == self.pad else token for token in ids]
            batch["input_ids"].append(ids + [self.pad] * lacking)
            batch["attention_mask"].append([1] * len(ids) + [0] * lacking)
            filled = [-100 if self.masked else self.pad] * lacking
            batch["labels"].append((whole if self.masked else list(row["labels"])) + filled)
        return {name: torch.tensor(values) for name, values in batch.items()}


def in_spike(step: int, steps: int, onset: float) -> bool:
    """Say whether the step is one of the spike's."""
    first = round(onset * steps)
    return first <= step < first + max(2, ceil(SPIKE_SHARE * steps))


def mean_of_micro_batch(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Return a loss that forgets that the micro-batches of a step are added up."""
    logits, goal = outputs.logits[:, :-1].float(), labels[:, 1:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), goal.flatten())


def spoil_model(spec: Tune, model: Any) -> Any:
    """Return the model with the run's fault."""
    if spec.fault == "weights-not-loaded":
        model = type(model)(model.config)
    if spec.fault == "fp16":
        model = model.half()
    if spec.fault == "bf16-tiny-rate":
        model = model.to(torch.bfloat16)
    if spec.fault == "frozen":
        model.requires_grad_(False)
        model.model.norm.requires_grad_(True)
    return model


def spoil_trainer(spec: Tune, trainer: Any) -> None:
    """Give a trainer its run's fault."""
    if spec.fault == "lora-no-gradient":
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.register_hook(torch.zeros_like)
    if spec.fault == "outside-optimizer":
        norms = [p for name, p in trainer.model.named_parameters() if "norm" in name]
        trainer.optimizer = torch.optim.AdamW(norms, lr=spec.learning_rate)
    if spec.fault == "rate-spike" and spec.kind == "hidden":
        trainer.add_callback(HiddenSpike())
    scheduled = spec.fault == "schedule-early" or spec.kind == "schedule"
    if not scheduled:
        return
    per_epoch = len(trainer.get_train_dataloader()) // spec.accumulation
    steps = max(1, int(per_epoch * spec.epochs))
    optimizer = trainer.create_optimizer()
    if spec.fault == "schedule-early":
        made_for = max(2, int(EARLY_END * steps))
        schedule: Any = get_linear_schedule_with_warmup
        trainer.lr_scheduler = schedule(optimizer, int(0.1 * made_for), made_for)
        return

    def spiking_cosine(step: int) -> float:
        usual = min(1.0, step / max(1, 0.1 * steps)) * 0.5 * (1 + cos(pi * min(1.0, step / steps)))
        return usual * (SPIKE if in_spike(step, steps, spec.onset) else 1.0)

    trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, spiking_cosine)
