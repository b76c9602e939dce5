#!/usr/bin/env bash
# One would guess: optim="galore_adamw_layerwise" or "apollo_adamw_layerwise" is the optimizer without
#   the word, a layer at a time: it follows lr_scheduler_type, max_grad_norm clips, and the log shows
#   the rate and the gradient norm of the run.
# What happens: each weight has an optimizer of its own, that steps within backward. The schedule is
#   made for the empty one that the Trainer holds: the log shows a rate that falls to 0 while every
#   weight is trained at the full rate to the end; no warm-up either. max_grad_norm finds no gradient
#   to clip, and grad_norm is 0.0 in each row. Nothing is said. (The Trainer's own branch for such
#   optimizers is not taken: it looks for them in what accelerate has wrapped by then.)
# Versions: transformers 5.23.0, galore-torch 1.0, apollo-torch 1.0.3, bitsandbytes 0.50.2, accelerate
#   1.15.0, torch 2.13.0, Python 3.11.
# Output seen (20 steps at 1e-3, linear after 5 of warm-up; at steps 1, 10 and 20 the rate in the log and
#   that of the optimizers themselves; the last grad_norm):
#   galore_adamw: 0e+00 0e+00, 7e-04 7e-04, 7e-05 7e-05; grad_norm 0.76
#   galore_adamw_layerwise: 0e+00 1e-03, 7e-04 1e-03, 7e-05 1e-03; grad_norm 0.00
#   apollo_adamw: 0e+00 0e+00, 7e-04 7e-04, 7e-05 7e-05; grad_norm 0.76
#   apollo_adamw_layerwise: 0e+00 1e-03, 7e-04 1e-03, 7e-05 1e-03; grad_norm 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 \
  bitsandbytes==0.50.2 galore-torch==1.0 apollo-torch==1.0.3
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
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
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
ids = torch.randint(0, 64, (32, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


class Rates(TrainerCallback):
    """The rates that weights are trained with."""

    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, optimizer, **more):
        held = getattr(optimizer, "optimizer", optimizer)
        each = getattr(held, "optimizer_dict", {None: held}).values()
        (rate,) = {group["lr"] for one in each for group in one.param_groups}
        self.seen.append(rate)


def run(optim):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    rates = Rates()
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir="out",
            max_steps=20,
            warmup_steps=5,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            optim=optim,
            optim_target_modules=["q_proj", "v_proj", "down_proj"],
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        callbacks=[rates],
    )
    trainer.train()
    log = [row for row in trainer.state.log_history if "loss" in row]
    logged, used = [row["learning_rate"] for row in log], rates.seen
    norm = log[-1]["grad_norm"]
    shown = ", ".join(f"{logged[at]:.0e} {used[at]:.0e}" for at in (0, 9, 19))
    print(f"{optim}: {shown}; grad_norm {norm:.2f}", flush=True)
    return logged, used, norm


for name in ("galore_adamw", "apollo_adamw"):
    logged, used, norm = run(name)
    assert norm > 0.1 and used[0] == 0 and used[19] < 1e-4
    logged, used, norm = run(f"{name}_layerwise")
    assert norm == 0 and logged[0] == 0 and logged[19] < 1e-4 and set(used) == {1e-3}
PY
