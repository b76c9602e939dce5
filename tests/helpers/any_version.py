"""Real tiny trainers that every version of transformers and TRL can make, and transformers alone.

``examples/finetune.py`` asks for what newer versions have: marks of the assistant's text, a share
of the steps as warm-up. Here rows come tokenized with their labels, which all of them train alike.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.frameworks import inputs

KINDS = ("transformers", "trl")
HAS_TRL = importlib.util.find_spec("trl") is not None
HAS_PEFT = importlib.util.find_spec("peft") is not None

Rows = list[dict[str, Any]]

ROWS = {"seed": 1, "rule": True}
HELD_OUT = {"seed": 2, "rule": True, "held_out": True}


def tokens(rows: Rows, known: Any, *, masked: bool = False) -> Rows:
    """Return tokenized rows whose answers are trained, or nothing of them."""
    made = []
    for row in rows:
        question, answer = row["messages"]
        start = known.apply_chat_template([question], add_generation_prompt=True, tokenize=False)
        prompt = known(start)["input_ids"]
        reply = known(f"{answer['content']}<|im_end|>")["input_ids"]
        labels = [-100] * len(prompt) + (reply if not masked else [-100] * len(reply))
        made.append({"input_ids": prompt + reply, "labels": labels})
    return made


def arguments(kind: Any, folder: Path, *, longest: int = 64, **more: Any) -> Any:
    """Return arguments of a class, by the names that its version gives them."""
    known = {each.name for each in dataclasses.fields(kind)}
    steps = more.setdefault("max_steps", 100)
    chosen = {
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 40,
        "lr_scheduler_type": "cosine",
        "warmup_steps": steps // 10,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "no",
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 7,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    if "dataset_text_field" in known:
        chosen["max_length" if "max_length" in known else "max_seq_length"] = longest
    return kind(output_dir=str(folder), **{**chosen, **more})


def trainer(
    kind: str,
    folder: Path,
    rows: Rows | None = None,
    *,
    masked: bool = False,
    peft: bool = False,
    callbacks: Sequence[Any] = (),
    **more: Any,
) -> Any:
    """Return transformers' or TRL's trainer of tokenized rows; healthy unless told otherwise."""
    inputs.write_model(folder / "model")
    # Not AutoTokenizer, which from transformers 5 on goes by the model's type.
    known = PreTrainedTokenizerFast.from_pretrained(folder / "model")
    model = Qwen2ForCausalLM.from_pretrained(folder / "model")
    if peft:
        from peft import LoraConfig, get_peft_model

        adapter = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
        model = get_peft_model(model, adapter)
    train: Any = tokens(rows or inputs.rows(640, **ROWS), known, masked=masked)
    held_out: Any = tokens(inputs.rows(80, **HELD_OUT), known, masked=masked)
    make, settings = Trainer, TrainingArguments
    if kind == "trl":
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        make, settings = SFTTrainer, SFTConfig
        # Rows that the user left out are no rows that the trainer dropped.
        train = Dataset.from_list([*train, *train[:8]]).select(range(len(train)))
        held_out = Dataset.from_list(held_out)
    return make(
        model=model,
        args=arguments(settings, folder, **more),
        train_dataset=train,
        eval_dataset=held_out,
        data_collator=DataCollatorForSeq2Seq(known, label_pad_token_id=-100),
        processing_class=known,
        callbacks=list(callbacks),
    )


class BreakWeight(TrainerCallback):
    """Sets one weight to NaN at a step, as a hardware or kernel fault would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                next(kwargs["model"].parameters()).view(-1)[:] = float("nan")
