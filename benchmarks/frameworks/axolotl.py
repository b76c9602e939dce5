"""axolotl 0.21.0, with what training on the CPU needs of its many packages.

It asks for Python 3.12 and for packages of GPUs; its code runs on 3.11 and without them.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "axolotl"

PACKAGES = (
    *("transformers==5.20.1", "trl==1.14.1", "peft==0.21.2", "accelerate==1.15.0"),
    *("datasets==5.0.1", "pydantic==2.13.5", "addict", "fire", "PyYAML==6.0.3", "requests"),
    *("colorama", "typer==0.25.1", "evaluate==0.4.1", "scipy", "python-dotenv==1.0.1", "einops"),
    *("posthog==6.7.11", "schedulefree==1.4.1", "art", "tensorboard", "psutil", "sentencepiece"),
    "numba",
    *("fastcore", "wandb"),
)
BARE = (
    *("axolotl==0.21.0", "axolotl-contribs-lgpl==0.0.7", "axolotl-contribs-mit==0.0.6"),
    "bitsandbytes==0.50.2",
)


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("axolotl", PACKAGES, bare=BARE)


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the command of docs/frameworks.md; writes its YAML."""
    rows = {"ds_type": "json", "type": "chat_template", "split": "train"}
    settings = {
        "base_model": str(folder / "model"),
        "chat_template": "tokenizer_default",
        "datasets": [{"path": str(folder / "data" / "train.jsonl"), **rows}],
        "test_datasets": [{"path": str(folder / "data" / "val.jsonl"), **rows}],
        "dataset_prepared_path": str(folder / "prepared"),
        "sequence_len": inputs.LENGTH,
        "num_epochs": inputs.EPOCHS[kind],
        "micro_batch_size": inputs.BATCH,
        "eval_batch_size": inputs.EVALUATION_ROWS,
        "gradient_accumulation_steps": 1,
        "learning_rate": inputs.RATE[kind],
        "lr_scheduler": "cosine",
        "warmup_steps": inputs.WARMUP[kind],
        "optimizer": "adamw_torch",
        "logging_steps": inputs.LOGGING_STEPS,
        "eval_strategy": "steps",
        "eval_steps": inputs.EVAL_STEPS,
        "save_strategy": "no",
        "bf16": False,
        "fp16": False,
        "tf32": False,
        "attn_implementation": "sdpa",
        "use_wandb": False,
        "output_dir": str(folder / inputs.OUT),
        "plugins": ["sftdiag.frameworks.axolotl.Plugin"],
        "sftdiag": {"stop_on": "error"},
    }
    # JSON is YAML, too.
    (folder / "train.yaml").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return [python, "-m", "axolotl.cli.train", str(folder / "train.yaml")]


def log(folder: Path) -> Path:
    """Return debug.log, axolotl's copy of the console."""
    return folder / inputs.OUT / "debug.log"
