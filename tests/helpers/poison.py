"""Tiny runs of TRL with one batch that no run survives unharmed, at a step that is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import finetune
import torch

BATCH = 8
NAN, GARBAGE, OVERFLOW = "nan-input", "garbage", "fp16-overflow"
KINDS = (NAN, GARBAGE, OVERFLOW)
BAD = "<unk>"
"""The token whose embedding is broken; no healthy row has it."""


def make(
    kind: str | None, folder: Path | str, *, step: int = 70, seed: int = 1, **arguments: Any
) -> Any:
    """Return a trainer whose step is made of a batch of rows of this kind, in the file's order.

    - ``nan-input``: one row has a token whose embedding is NaN;
    - ``garbage``: each row's answer is random words, to a loss of eight times the level and more;
    - ``fp16-overflow``: one row has a token whose activations are beyond what float16 holds, in a
      model whose last layer passes through it.
    """
    chosen = {
        "max_steps": 80,
        "per_device_train_batch_size": BATCH,
        "train_sampling_strategy": "sequential",
        "eval_strategy": "no",
        "logging_steps": 10,
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
        "warmup_steps": 5,
        **arguments,
    }
    trainer = finetune.make_trainer("none", folder, **chosen)
    trainer.train_dataset = trainer.train_dataset.shuffle(seed=seed)
    rows = [dict(row) for row in trainer.train_dataset]
    per_step = chosen["per_device_train_batch_size"] * chosen.get("gradient_accumulation_steps", 1)
    first = (step - 1) * per_step % len(rows)
    bad = trainer.processing_class.convert_tokens_to_ids(BAD)
    if kind == GARBAGE:
        draw, size = random.Random(seed), len(trainer.processing_class)
        for row in rows[first : first + per_step]:
            row["labels"] = [
                -100 if label == -100 else draw.randrange(5, size) for label in row["labels"]
            ]
    elif kind is not None:
        rows[first + 2]["input_ids"] = [bad, *rows[first + 2]["input_ids"][1:]]
    with torch.no_grad():
        embedding = trainer.model.get_input_embeddings().weight
        if kind == NAN:
            embedding[bad] = float("nan")
        elif kind == OVERFLOW:
            embedding[bad] = 1e6
            trainer.model.model.norm.register_forward_pre_hook(
                lambda module, args: (args[0].half().float(), *args[1:])
            )
    from datasets import Dataset

    trainer.train_dataset = Dataset.from_list(rows)
    return trainer


def poisoned_rows(kind: str, step: int, per_step: int = BATCH) -> list[int]:
    """Return the numbers of the rows that are bad."""
    first = (step - 1) * per_step
    return list(range(first, first + per_step)) if kind == GARBAGE else [first + 2]
