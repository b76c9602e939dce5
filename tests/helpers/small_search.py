"""A trainer of settings that learns in a second, for searches: what a make_trainer looks like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import setups
import torch
from transformers import Trainer, TrainerCallback

START = {"learning_rate": 3e-3, "num_train_epochs": 1, "gradient_accumulation_steps": 1}
"""Where the tiny model learns: the guide's rates are for real ones."""

TRAIN = setups.tokens(setups.PAIRS)
HELD_OUT = setups.tokens(setups.HELD_OUT)


def make_trainer(settings: dict[str, Any], **arguments: Any) -> Trainer:
    """Return a Trainer over 120 rows, 16 a step."""
    return setups.plain(
        Path(settings["output_dir"]),
        TRAIN,
        HELD_OUT,
        learning_rate=settings["learning_rate"],
        num_train_epochs=settings["num_train_epochs"],
        gradient_accumulation_steps=settings["gradient_accumulation_steps"],
        **{
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 60,
            "warmup_steps": 0.1,
            "lr_scheduler_type": "cosine",
            **arguments,
            "seed": settings["seed"],
        },
    )


def counted(settings: dict[str, Any]) -> Trainer:
    """Return the trainer, and note in a file that these settings were trained."""
    trainer = make_trainer(settings)
    trainer.add_callback(Note(settings))
    return trainer


class Note(TrainerCallback):
    """Writes a line when a training begins, and can kill its process in the midst of one."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = {k: v for k, v in settings.items() if k != "output_dir"}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with open(os.environ["SEARCH_NOTES"], "a") as file:
            file.write(f"{os.getpid()} {sorted(self.settings.items())}\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        deadly = os.environ.get("SEARCH_DIES_AT")
        notes = Path(os.environ["SEARCH_NOTES"]).read_text().splitlines()
        if deadly and len(notes) == int(deadly) and state.global_step == 3:
            os._exit(9)


class Break(TrainerCallback):
    """Sets a weight to NaN at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                kwargs["model"].model.norm.weight[0] = float("nan")
