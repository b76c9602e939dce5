"""LLaMA-Factory 0.9.5.

PyPI's torchvision and torchaudio do not load beside the build of torch for the CPU. torchvision is
taken out, and torchaudio, which LLaMA-Factory imports in any case, is an empty module.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "LLaMA-Factory"

EMPTY = "import site, pathlib; pathlib.Path(site.getsitepackages()[0], 'torchaudio.py').touch()"


def python() -> str:
    """Return the Python of its venv."""
    without = ("torchvision", "torchaudio")
    python = venvs.python_of("llamafactory", ("llamafactory==0.9.5",), without=without)
    subprocess.run((python, "-c", EMPTY), check=True)
    return python


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the command of docs/frameworks.md; writes its YAML."""
    files = {"train": "train.jsonl", "val": "val.jsonl"}
    turns = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
    described = {
        name: {
            "file_name": file,
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {**turns, "assistant_tag": "assistant"},
        }
        for name, file in files.items()
    }
    (folder / "data" / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    settings = {
        "model_name_or_path": str(folder / "model"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": str(folder / "data"),
        "dataset": "train",
        "eval_dataset": "val",
        "template": "qwen",
        "cutoff_len": inputs.LENGTH,
        **inputs.settings(kind),
        "use_cpu": True,
        "report_to": "none",
        "output_dir": str(folder / inputs.OUT),
    }
    # JSON is YAML, too.
    (folder / "train.yaml").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return [python, "-m", "sftdiag.frameworks.llamafactory", "train", str(folder / "train.yaml")]


def log(folder: Path) -> Path:
    """Return trainer_log.jsonl."""
    return folder / inputs.OUT / "trainer_log.jsonl"
