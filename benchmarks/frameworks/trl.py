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
        **inputs.settings(kind),
        "max_length": inputs.LENGTH,
        "bf16": "false",
        "gradient_checkpointing": "false",
        "assistant_only_loss": "true",
        "use_cpu": "true",
        "report_to": "none",
        "output_dir": folder / inputs.OUT,
    }
    return [python, "-m", "sftdiag.frameworks.trl", "sft", *inputs.flags(given)]


def log(folder: Path) -> Path:
    """Return the run's folder: without a checkpoint there is no log but the console elsewhere."""
    return folder / inputs.OUT
