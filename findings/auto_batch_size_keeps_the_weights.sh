#!/usr/bin/env bash
# One would guess: auto_find_batch_size=True starts the training anew with a smaller batch when
#   memory runs out, with the model as it was, and makes up for the batch by more accumulation.
# What happens: step, log and optimizer start anew, the model does not: what it learned in the
#   steps before stays in its weights, while their rows are gone from log_history. on_train_begin
#   is called again for each try, on_train_end only once; a try that fails at its first step
#   counts too (8, 7, 6, 5, 4). The accumulation stays 1: the batch is halved, there are twice as
#   many optimizer steps at the same learning rate, and args.per_device_train_batch_size still
#   says 8. Only state.train_batch_size says 4. (Running out is played here by an exception of the
#   same words at step 6 of the first try.)
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   tries (batch, max_steps, rows in the log, largest change of the head's weights):
#     (8, 8, 0, 0.0) (7, 10, 0, 0.0038) (6, 11, 0, 0.0038) (5, 13, 0, 0.0038) (4, 16, 0, 0.0038)
#   on_train_end 1, steps told to on_log [2, 4, 2, 4, 6, 8, 10, 12, 14, 16]
#   steps in log_history [2, 4, 6, 8, 10, 12, 14, 16]
#   batch: arguments 8, in use 4; accumulation 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

transformers.utils.logging.set_verbosity_error()
ids = torch.randint(3, 64, (64, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


class Full(LlamaForCausalLM):
    """Says that memory is out for more than 4 rows, from its sixth batch on."""

    batches = 0

    def forward(self, input_ids=None, attention_mask=None, labels=None, **more):
        if self.training:
            if len(input_ids) > 4 and self.batches >= 5:
                raise RuntimeError("CUDA out of memory.")
            self.batches += 1
        return super().forward(
            input_ids=input_ids, attention_mask=attention_mask, labels=labels, **more
        )


class Watch(TrainerCallback):
    def __init__(self, weight):
        self.first = weight.detach().clone()
        self.tries, self.ends, self.told = [], 0, []

    def on_train_begin(self, args, state, control, model=None, **more):
        change = (model.lm_head.weight - self.first).abs().max().item()
        self.tries.append(
            (state.train_batch_size, state.max_steps, len(state.log_history), round(change, 4))
        )

    def on_train_end(self, args, state, control, **more):
        self.ends += 1

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs:
            self.told.append(state.global_step)


torch.manual_seed(0)
model = Full(
    LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
)
watch = Watch(model.lm_head.weight)
arguments = TrainingArguments(
    output_dir="out",
    num_train_epochs=1,
    per_device_train_batch_size=8,
    learning_rate=1e-3,
    auto_find_batch_size=True,
    logging_steps=2,
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    use_cpu=True,
)
trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[watch])
trainer.train()
kept = [row["step"] for row in trainer.state.log_history if "loss" in row]
print("tries (batch, max_steps, rows in the log, largest change of the head's weights):")
print(" ", *watch.tries)
print(f"on_train_end {watch.ends}, steps told to on_log {watch.told}")
print("steps in log_history", kept)
print(
    f"batch: arguments {trainer.args.per_device_train_batch_size}, "
    f"in use {trainer.state.train_batch_size}; "
    f"accumulation {trainer.args.gradient_accumulation_steps}"
)

assert [each[:3] for each in watch.tries] == [
    (8, 8, 0), (7, 10, 0), (6, 11, 0), (5, 13, 0), (4, 16, 0)
]  # fmt: skip
assert watch.tries[0][3] == 0.0 and all(each[3] > 0.001 for each in watch.tries[1:])
assert watch.ends == 1
assert kept == list(range(2, 17, 2)) and watch.told == [2, 4, *kept]
assert trainer.args.per_device_train_batch_size == 8 and trainer.state.train_batch_size == 4
assert trainer.args.gradient_accumulation_steps == 1
PY
