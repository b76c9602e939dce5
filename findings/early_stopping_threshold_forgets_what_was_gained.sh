#!/usr/bin/env bash
# One would guess: EarlyStoppingCallback(patience, threshold) is what patience and min_delta are
#   elsewhere: it stops when the metric has not become better by the threshold, against the last
#   value that did, in so many evaluations.
# What happens: each evaluation is held against the best of all before it, and that moves with any
#   improvement, however small: small ones never add up. A run that gets better by a little less
#   than the threshold at each evaluation is stopped as if it stood still. The more often one
#   evaluates, the sooner: the same run, evaluated half as often, goes on.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (threshold 0.05, patience 3, at most 60 steps):
#   every 2 steps: stopped at step 8, eval_loss 4.136, 4.104, 4.074, 4.044
#   every 6 steps: stopped at step 60, eval_loss 4.074, ..., 3.102
#     every 2 steps, held against the last that was better by the threshold: not stopped
#     eval_loss without stopping: 3.102; gained each time: [0.032, 0.031, 0.029, 0.028] ...
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
    EarlyStoppingCallback,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
)

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
STEPS, PATIENCE, THRESHOLD = 60, 3, 0.05
ids = torch.randint(3, 64, (32, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


def run(every, callbacks):
    """Return the step of the end and the evaluations."""
    torch.manual_seed(0)
    trainer = Trainer(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
            )
        ),
        TrainingArguments(
            output_dir="out",
            max_steps=STEPS,
            per_device_train_batch_size=16,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            eval_strategy="steps",
            eval_steps=every,
            metric_for_best_model="eval_loss",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=callbacks,
    )
    trainer.train()
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    return trainer.state.global_step, losses


def would_stop(losses, every):
    """Return the step at which losses that add up would end the run, as min_delta does."""
    best, waited = float("inf"), 0
    for number, loss in enumerate(losses, start=1):
        best, waited = (loss, 0) if loss < best - THRESHOLD else (best, waited + 1)
        if waited == PATIENCE:
            return number * every
    return None


ends = {}
for every in (2, 6):
    ends[every], losses = run(every, [EarlyStoppingCallback(PATIENCE, THRESHOLD)])
    shown = [f"{loss:.3f}" for loss in losses]
    shown = shown if len(shown) < 6 else [shown[0], "...", shown[-1]]
    print(f"every {every} steps: stopped at step {ends[every]}, eval_loss {', '.join(shown)}")
_, whole = run(2, [])
end = would_stop(whole, 2)
told = f"stopped at step {end}" if end else "not stopped"
print(f"  every 2 steps, held against the last that was better by the threshold: {told}")
gained = [round(a - b, 3) for a, b in zip(whole, whole[1:], strict=False)]
print(f"  eval_loss without stopping: {whole[-1]:.3f}; gained each time: {gained[:4]} ...")

assert ends[2] == 8 and ends[6] == STEPS, ends
assert end is None, end
assert whole[-1] < whole[3] - 0.2, whole
PY
