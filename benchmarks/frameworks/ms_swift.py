"""ms-swift 4.6.0, in full precision on the CPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "ms-swift"


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("ms-swift", ("ms-swift==4.6.0",))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return ``swift sft`` with the lines of docs/frameworks.md."""
    asked = (python, "-m", "sftdiag.frameworks.ms_swift")
    plugin = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    given = {
        "model": folder / "model",
        "model_type": "qwen2",
        "template": "qwen2_5",
        "use_hf": "true",
        "tuner_type": "full",
        "torch_dtype": "float32",
        "dataset": folder / "data" / "train.jsonl",
        "val_dataset": folder / "data" / "val.jsonl",
        **inputs.settings(kind),
        "gradient_accumulation_steps": 1,
        "max_length": inputs.LENGTH,
        "output_dir": folder / inputs.OUT,
        "add_version": "false",
        "use_cpu": "true",
        "external_plugins": plugin,
        "callbacks": "sftdiag",
    }
    return [str(Path(python).with_name("swift")), "sft", *inputs.flags(given)]


def log(folder: Path) -> Path:
    """Return logging.jsonl."""
    return folder / inputs.OUT / "logging.jsonl"
