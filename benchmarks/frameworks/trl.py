"""TRL's command line, version 1.16.0."""

from __future__ import annotations

from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "TRL"


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("trl", ("trl==1.16.0", "transformers==5.23.0", "peft==0.21.2"))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the command of docs/frameworks.md."""
    given = {
        "model_name_or_path": folder / "model",
        "dataset_name": folder / "data",
        "dataset_test_split": "validation",
        "num_train_epochs": inputs.EPOCHS[kind],
        "per_device_train_batch_size": inputs.BATCH,
        "per_device_eval_batch_size": inputs.EVALUATION_ROWS,
        "learning_rate": inputs.RATE[kind],
        "lr_scheduler_type": "cosine",
        "warmup_steps": inputs.WARMUP[kind],
        "logging_steps": inputs.LOGGING_STEPS,
        "eval_strategy": "steps",
        "eval_steps": inputs.EVAL_STEPS,
        "save_strategy": "no",
        "max_length": inputs.LENGTH,
        "bf16": "false",
        "gradient_checkpointing": "false",
        "assistant_only_loss": "true",
        "use_cpu": "true",
        "report_to": "none",
        "output_dir": folder / "out",
    }
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    return [python, "-m", "sftdiag.frameworks.trl", "sft", *arguments]


def run_folder(folder: Path) -> Path:
    """Return the run's folder."""
    return folder / "out"


def log(folder: Path) -> Path:
    """Return the run's folder: without a checkpoint there is no log but the console elsewhere."""
    return run_folder(folder)
