"""Tiny runs of TRL with batches that no run survives unharmed, at steps that are known."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
finetune: Any = importlib.import_module("finetune")

BATCH = 8
NAN, GARBAGE, OVERFLOW = "nan-input", "garbage", "fp16-overflow"
KINDS = (NAN, GARBAGE, OVERFLOW)
BAD = "<unk>"
"""The token whose embedding is broken; no healthy row has it."""


def make(
    kind: str | None,
    folder: Path | str,
    *,
    steps: Sequence[int] = (70,),
    seed: int = 1,
    **arguments: Any,
) -> Any:
    """Return a trainer that comes to a batch of bad rows at each of these steps.

    - ``nan-input``: one row has a token whose embedding is NaN;
    - ``garbage``: each row's answer is random words, to a loss of eight times the level and more;
    - ``fp16-overflow``: one row has a token whose activations are beyond what float16 holds, in a
      model whose last layer passes through it.

    ``rows_a_step`` are the rows of a step on all ranks. They come in
    the order of the set, so that it is known which they are.
    """
    per_step = arguments.pop("rows_a_step", BATCH)
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
    rows = [dict(row) for row in trainer.train_dataset.shuffle(seed=seed)]
    bad = trainer.processing_class.convert_tokens_to_ids(BAD)
    draw, size = random.Random(seed), len(trainer.processing_class)
    for step in steps if kind is not None else ():
        for number in poisoned_rows(str(kind), step, per_step):
            row = rows[number]
            if kind == GARBAGE:
                labels = row["labels"]
                row["labels"] = [x if x == -100 else draw.randrange(5, size) for x in labels]
            else:
                row["input_ids"] = [bad, *row["input_ids"][1:]]
    break_model(trainer.model, kind, bad)
    trainer.train_dataset = finetune.Dataset.from_list(rows)
    return trainer


def break_model(model: Any, kind: str | None, bad: int) -> None:
    """Make a model that cannot take one token."""
    break_embedding(model, kind, bad)
    if kind == OVERFLOW:
        model.get_decoder().norm.register_forward_pre_hook(
            lambda module, args: (args[0].half().float(), *args[1:])
        )


def break_embedding(model: Any, kind: str | None, bad: int) -> None:
    """Give one token an embedding that no model can take."""
    with torch.no_grad():
        if kind == NAN:
            model.get_input_embeddings().weight[bad] = float("nan")
        elif kind == OVERFLOW:
            model.get_input_embeddings().weight[bad] = 1e6


def quiet() -> None:
    """Have datasets draw no bars."""
    importlib.import_module("datasets").disable_progress_bars()


def poisoned_rows(kind: str, step: int, per_step: int = BATCH) -> list[int]:
    """Return the numbers of the rows that are bad at a step."""
    first = (step - 1) * per_step
    return list(range(first, first + per_step)) if kind == GARBAGE else [first + 2]
