"""Unsloth 2026.10.9 on its backend for the CPU, with what that needs of its packages."""

from __future__ import annotations

from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "Unsloth"

PACKAGES = (
    *("transformers==5.17.0", "trl==1.15.0", "peft>=0.18", "accelerate", "datasets>=4.6,<5"),
    *("tyro", "psutil", "protobuf", "sentencepiece", "hf_transfer", "msgspec", "nest-asyncio"),
    *("pydantic", "pillow"),
)
BARE = ("unsloth==2026.10.9", "unsloth_zoo==2026.10.9")

SCRIPT = """
import unsloth
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only

import sftdiag

if __name__ == "__main__":
    model, tokenizer = FastLanguageModel.from_pretrained(
        "{folder}/model", max_seq_length={length}, load_in_4bit=False, full_finetuning=True
    )
    files = {{"train": "{folder}/data/train.jsonl", "test": "{folder}/data/val.jsonl"}}
    rows = load_dataset("json", data_files=files).map(
        lambda row: {{"text": tokenizer.apply_chat_template(row["messages"], tokenize=False)}},
        remove_columns=["messages"],
    )
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        args=SFTConfig(
            output_dir="{folder}/out",
            dataset_text_field="text",
            max_length={length},
            num_train_epochs={epochs},
            per_device_train_batch_size={batch} // 2,
            gradient_accumulation_steps=2,
            per_device_eval_batch_size={evaluation},
            learning_rate={rate},
            lr_scheduler_type="cosine",
            warmup_steps={warmup},
            logging_steps={logging},
            eval_strategy="steps",
            eval_steps={eval},
            save_strategy="no",
            report_to="none",
        ),
    )
    trainer = train_on_responses_only(
        trainer, instruction_part="<|im_start|>user\\n", response_part="<|im_start|>assistant\\n"
    )
    sftdiag.attach(trainer, stop_on="error")
    trainer.train()
"""


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("unsloth", PACKAGES, bare=BARE)


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return a script with the lines of docs/frameworks.md; writes it."""
    script = SCRIPT.format(
        folder=folder,
        length=inputs.LENGTH,
        epochs=inputs.EPOCHS[kind],
        batch=inputs.BATCH,
        evaluation=inputs.EVALUATION_ROWS,
        rate=inputs.RATE[kind],
        warmup=inputs.WARMUP[kind],
        logging=inputs.LOGGING_STEPS,
        eval=inputs.EVAL_STEPS,
    )
    (folder / "train.py").write_text(script, encoding="utf-8")
    return [python, str(folder / "train.py")]


def log(folder: Path) -> Path:
    """Return the run's folder: without a checkpoint there is no log but the console elsewhere."""
    return folder / inputs.OUT
