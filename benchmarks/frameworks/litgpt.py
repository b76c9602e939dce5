"""litgpt 0.5.13: its command finetune_full. It needs requests, which it does not install."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "litgpt"

SCRIPT = Path(__file__).with_name("scripts") / "litgpt_model.py"


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("litgpt", ("litgpt==0.5.13", "requests"))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the command of docs/frameworks.md; writes its model and rows."""
    subprocess.run((python, str(SCRIPT), str(folder), str(inputs.VOCABULARY)), check=True)
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": inputs.RATE[kind]}}
    given = {
        "data": "JSON",
        "data.json_path": folder / "json",
        "data.mask_prompt": "true",
        "data.prompt_style": "qwen3",
        "data.num_workers": 0,
        "train.epochs": inputs.EPOCHS[kind],
        "train.global_batch_size": inputs.BATCH,
        "train.micro_batch_size": inputs.BATCH,
        "train.lr_warmup_steps": max(1, inputs.WARMUP[kind]),
        "train.log_interval": 1,  # with another one its CSVLogger writes nothing
        "train.save_interval": 1000,
        "train.max_seq_length": inputs.LENGTH,
        "eval.interval": inputs.EVAL_STEPS,
        "eval.initial_validation": "false",
        "eval.final_validation": "false",
        "optimizer": json.dumps(optimizer),
        "precision": "32-true",
        "out_dir": folder / inputs.OUT,
    }
    start = [python, "-m", "sftdiag.frameworks.litgpt", "finetune_full"]
    return [*start, str(folder / "litgpt"), *inputs.flags(given)]


def log(folder: Path) -> Path:
    """Return what its CSVLogger wrote."""
    return folder / inputs.OUT / "logs" / "csv" / "version_0" / "metrics.csv"
