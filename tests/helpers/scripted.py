"""A real Trainer whose losses are scripted: the same run for every tool that can log one.

``python tests/helpers/scripted.py FOLDER TOOL [--fault overfitting|nan|healthy]`` trains it with
``report_to=TOOL`` (or ``none``) and writes what the tool writes below FOLDER; tests/sources/made
holds the results. Each tool is installed for itself (``pip install wandb``, ...).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

STEPS, LOGGED, EVALUATED = 240, 5, 20


def train_loss(step: int, fault: str) -> float:
    if fault == "nan" and step > 120:
        return math.nan
    return (0.35 + 2.6 * math.exp(-step / 60)) * random.Random(step).gauss(1.0, 0.02)


def eval_loss(step: int, fault: str) -> float:
    if fault == "nan" and step > 120:
        return math.nan
    rise = 0.006 * max(0, step - 80) if fault == "overfitting" else 0.0
    return (1.2 + 1.8 * math.exp(-step / 40) + rise) * random.Random(-step).gauss(1.0, 0.002)


class Scripted(torch.nn.Module):
    """Returns the scripted loss, with a gradient of about 1."""

    def __init__(self, fault: str, pause: float = 0.0) -> None:
        super().__init__()
        self.pause = pause
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.fault, self.step = fault, 0

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.step += 1
            time.sleep(self.pause)
            loss = train_loss(self.step, self.fault)
        else:
            loss = eval_loss(self.step, self.fault)
        slope = 0.8 + 0.1 * random.Random(self.step).random()
        moved = (self.weight - self.weight.detach()).sum() * slope
        return {"loss": torch.tensor(loss) + moved, "logits": x}


def train(
    folder: Path,
    tool: str = "none",
    fault: str = "overfitting",
    callbacks: Sequence[Any] = (),
    pause: float = 0.0,
    **options: Any,
) -> Any:
    """Train it and return the trainer."""
    rows = [{"x": torch.zeros(1), "labels": torch.zeros(1)} for _ in range(160)]
    arguments = transformers.TrainingArguments(
        **{
            "output_dir": str(folder / "out"),
            "max_steps": STEPS,
            "per_device_train_batch_size": 2,
            "logging_steps": LOGGED,
            "eval_strategy": "steps",
            "eval_steps": EVALUATED,
            "save_strategy": "no",
            "learning_rate": 2e-5,
            "report_to": [] if tool == "none" else [tool],
            "logging_nan_inf_filter": False,
            "use_cpu": True,
            "run_name": "scripted",
            **options,
        }
    )
    trainer = transformers.Trainer(
        Scripted(fault, pause),
        arguments,
        train_dataset=rows,
        eval_dataset=rows[:4],
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tool")
    parser.add_argument("--fault", default="overfitting", choices=("overfitting", "nan", "healthy"))
    parser.add_argument("--pause", type=float, default=0.0, help="seconds a step")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(options.folder)
    if options.tool == "swanlab":
        # transformers 5.23 takes no other start.
        import swanlab

        swanlab.init(mode="offline", logdir="swanlog")
    train(Path(), options.tool, options.fault, pause=options.pause).state.save_to_json(
        "trainer_state.json"
    )
