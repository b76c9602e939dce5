"""torchtune 0.6.1: its recipe full_finetune_single_device.

It does not install torchao, and does not import with a newer one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "torchtune"

OVERFIT = "SFT202"
"""What names an overfit: recipes evaluate nothing."""

HIDES = (inputs.OVERFIT,)
"""Of which its own log, which shows no epochs, says nothing."""

SCRIPTS = Path(__file__).with_name("scripts")


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("torchtune", ("torchtune==0.6.1", "torchao==0.9.0"))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the command of docs/frameworks.md; writes its YAML."""
    # Recipes find what a YAML names in the folder they are started in.
    for name in ("parts.py", "encoded.py"):
        shutil.copy(SCRIPTS / name, folder / name)
    settings = {
        "output_dir": str(folder / inputs.OUT),
        "tokenizer": {
            "_component_": "parts.Tokenizer",
            "folder": str(folder),
            "max_seq_len": inputs.LENGTH,
        },
        "dataset": {"_component_": "parts.dataset", "file": "train.jsonl"},
        "seed": 0,
        "shuffle": True,
        "model": {
            "_component_": "torchtune.models.qwen2.qwen2",
            "vocab_size": inputs.VOCABULARY,
            "num_layers": 3,
            "num_heads": 4,
            "num_kv_heads": 4,
            "embed_dim": 64,
            "intermediate_dim": 128,
            "max_seq_len": 256,
            "tie_word_embeddings": False,
            "rope_base": 10000.0,
        },
        "checkpointer": {
            "_component_": "torchtune.training.FullModelHFCheckpointer",
            "checkpoint_dir": str(folder / "model"),
            "checkpoint_files": ["model.safetensors"],
            "recipe_checkpoint": None,
            "output_dir": "${output_dir}",
            "model_type": "QWEN2",
        },
        "resume_from_checkpoint": False,
        "batch_size": inputs.BATCH,
        "epochs": inputs.EPOCHS[kind],
        "optimizer": {"_component_": "torch.optim.AdamW", "lr": inputs.RATE[kind]},
        "lr_scheduler": {
            "_component_": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
            "num_warmup_steps": inputs.WARMUP[kind],
        },
        "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
        "optimizer_in_bwd": False,
        "max_steps_per_epoch": None,
        "gradient_accumulation_steps": 1,
        "clip_grad_norm": 1.0,
        "compile": False,
        "device": "cpu",
        "enable_activation_checkpointing": False,
        "enable_activation_offloading": False,
        "dtype": "fp32",
        "metric_logger": {
            "_component_": "torchtune.training.metric_logging.DiskLogger",
            "log_dir": "${output_dir}/logs",
            "filename": "log.txt",
        },
        "log_every_n_steps": inputs.LOGGING_STEPS,
        "log_peak_memory_stats": False,
        "profiler": {"_component_": "torchtune.training.setup_torch_profiler", "enabled": False},
    }
    # JSON is YAML, too.
    (folder / "recipe.yaml").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    tune = (str(Path(python).with_name("tune")), "run", "full_finetune_single_device")
    ours = "metric_logger._component_=sftdiag.frameworks.torchtune.MetricLogger"
    return [*tune, "--config", str(folder / "recipe.yaml"), ours]


def log(folder: Path) -> Path:
    """Return what DiskLogger wrote."""
    return folder / inputs.OUT / "logs" / "log.txt"
