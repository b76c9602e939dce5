#!/usr/bin/env bash
# One would guess: a run resumed from a checkpoint under new arguments uses the new ones (or says
#   that it does not).
# What happens: with transformers' Trainer the learning rate and the weight decay come back out of
#   optimizer.pt and scheduler.pt, and logging_steps out of trainer_state.json; the schedule's
#   shape is the new one. So "5e-2, cosine" continues as "1e-3, cosine", and the arguments (and
#   what a tracker was told of them) say 5e-2. A warning names logging_steps; none names the rate
#   or the decay.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   learning rate: argument 0.05, base in use 0.001, per step
#     10: 0.0005, 11: 0.000422, 12: 0.000345, ... 18: 2.45e-05, 19: 6.16e-06
#   weight decay: argument 0.3, in use 0.1
#   logging_steps: argument 1, rows at steps [15, 20]
#   warnings that name the learning rate or the weight decay: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import math
import warnings

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


transformers.utils.logging.set_verbosity_warning()
logging.getLogger("transformers").addHandler(Ear())
generator = torch.Generator().manual_seed(1)
ids = torch.randint(3, 64, (64, 16), generator=generator)
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


class Rates(TrainerCallback):
    """Notes the optimizer's own learning rate, whatever is logged."""

    def __init__(self):
        self.used = {}

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.used[state.global_step] = optimizer.param_groups[0]["lr"]


def trainer(rates, **settings):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    base = {
        "output_dir": "out",
        "max_steps": 20,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return Trainer(
        model, TrainingArguments(**base, **settings), train_dataset=rows, callbacks=[rates]
    )


first = trainer(
    Rates(),
    learning_rate=1e-3,
    weight_decay=0.1,
    lr_scheduler_type="linear",
    logging_steps=5,
    save_steps=10,
)
first.train()
said.clear()
rates = Rates()
second = trainer(
    rates,
    learning_rate=5e-2,
    weight_decay=0.3,
    lr_scheduler_type="cosine",
    logging_steps=1,
    save_strategy="no",
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    second.train(resume_from_checkpoint="out/checkpoint-10")
said += [str(each.message) for each in caught]

group = second.optimizer.param_groups[0]
in_use = group["initial_lr"]
logged = [row["step"] for row in second.state.log_history if "loss" in row and row["step"] > 10]
told = [text for text in said if "learning_rate" in text or "weight_decay" in text]
print(f"learning rate: argument {second.args.learning_rate:g}, base in use {in_use:g}, per step")
print("  " + ", ".join(f"{step}: {rate:.3g}" for step, rate in sorted(rates.used.items())))
print(f"weight decay: argument {second.args.weight_decay}, in use {group['weight_decay']}")
print(f"logging_steps: argument {second.args.logging_steps}, rows at steps {logged}")
print(f"warnings that name the learning rate or the weight decay: {len(told)}")
for text in said:
    print("  said:", text[:200].replace("\n", " "))

assert second.args.learning_rate == 5e-2 and in_use == 1e-3
assert max(rates.used.values()) <= 1e-3
assert second.args.weight_decay == 0.3 and group["weight_decay"] == 0.1
assert logged == [15, 20], logged
cosine = [0.5e-3 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
last = rates.used[max(rates.used)]
assert abs(last - cosine[19]) < 1e-9, (last, cosine[19])
assert not told, told
PY
