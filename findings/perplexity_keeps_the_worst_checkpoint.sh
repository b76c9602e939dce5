#!/usr/bin/env bash
# One would guess: metric_for_best_model="perplexity" with load_best_model_at_end=True ends with
#   the checkpoint of the lowest perplexity.
# What happens: unless greater_is_better is given, the Trainer takes a name that does not end in
#   "loss" for one where more is better. Perplexity (or nll, wer, error_rate) is kept at its
#   highest: the worst checkpoint is "best" and is loaded at the end. EarlyStoppingCallback stops
#   a run that gets better at each evaluation.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   greater_is_better: perplexity True, nll True, eval_loss False
#   perplexity 5: 43.2, 10: 30.3, 15: 23.4, 20: 20.9
#   best step by perplexity: 5, by eval_loss: 20
#   with EarlyStoppingCallback(2) the run of 20 steps ends at step 15
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

transformers.utils.logging.set_verbosity_error()
ids = torch.randint(3, 64, (16, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


def perplexity(predictions):
    scores = torch.tensor(predictions.predictions)[:, :-1].flatten(0, 1)
    labels = torch.tensor(predictions.label_ids)[:, 1:].flatten()
    return {"perplexity": torch.nn.functional.cross_entropy(scores, labels).exp().item()}


def arguments(metric):
    return TrainingArguments(
        output_dir=f"by_{metric}",
        max_steps=20,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=5,
        save_steps=5,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )


def run(metric, callbacks=()):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    trainer = Trainer(
        LlamaForCausalLM(config),
        arguments(metric),
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=perplexity,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer.state


guessed = {name: arguments(name).greater_is_better for name in ("perplexity", "nll", "eval_loss")}
by_perplexity, by_loss = run("perplexity"), run("eval_loss")
stopped = run("perplexity", [EarlyStoppingCallback(2)])
curve = {
    row["step"]: row["eval_perplexity"]
    for row in by_perplexity.log_history
    if "eval_perplexity" in row
}
print("greater_is_better:", ", ".join(f"{name} {value}" for name, value in guessed.items()))
print("perplexity", ", ".join(f"{step}: {value:.1f}" for step, value in curve.items()))
print(
    f"best step by perplexity: {by_perplexity.best_global_step}, "
    f"by eval_loss: {by_loss.best_global_step}"
)
print(f"with EarlyStoppingCallback(2) the run of 20 steps ends at step {stopped.global_step}")

assert guessed == {"perplexity": True, "nll": True, "eval_loss": False}
assert list(curve.values()) == sorted(curve.values(), reverse=True)
assert by_perplexity.best_global_step == 5 and by_loss.best_global_step == 20
assert stopped.global_step == 15
PY
