#!/usr/bin/env bash
# One would guess: lr_scheduler_type="reduce_lr_on_plateau" with metric_for_best_model="accuracy"
#   and greater_is_better=True lowers the rate when accuracy stops rising.
# What happens: the scheduler is made with torch's default mode "min", whatever greater_is_better
#   says. Each rise of accuracy is "no improvement": after `patience` evaluations that all got
#   better the rate is a tenth, and so on. The same run by eval_loss keeps its rate.
#   lr_scheduler_kwargs={"mode": "max"} sets it right. warmup_steps is passed over by this schedule
#   (and by "constant") without a word.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (base rate 1e-2, patience 1, warmup_steps 4):
#   accuracy at the evaluations: 0.28 0.36 0.46 0.48 0.49 0.49 0.49 0.50
#   rates by accuracy: 1e-02 1e-02 1e-02 1e-03 1e-03 1e-04 1e-04 1e-05
#   rates by eval_loss: 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02
#   rates by accuracy, mode max: 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02 1e-02
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
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.set_verbosity_error()
ids = torch.randint(3, 64, (16, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


def accuracy(predictions):
    right = predictions.predictions[:, :-1].argmax(-1) == predictions.label_ids[:, 1:]
    return {"accuracy": float(right.mean())}


def run(metric, **more):
    """Accuracy at each evaluation, and the rate of the steps before it."""
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
        TrainingArguments(
            output_dir="out",
            max_steps=16,
            per_device_train_batch_size=8,
            learning_rate=1e-2,
            warmup_steps=4,
            lr_scheduler_type="reduce_lr_on_plateau",
            lr_scheduler_kwargs={"patience": 1, **more},
            metric_for_best_model=metric,
            greater_is_better=metric == "accuracy",
            eval_strategy="steps",
            eval_steps=2,
            logging_steps=2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=accuracy,
    )
    trainer.train()
    log = trainer.state.log_history
    return (
        [row["eval_accuracy"] for row in log if "eval_accuracy" in row],
        [row["learning_rate"] for row in log if "learning_rate" in row],
    )


transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
seen, by_accuracy = run("accuracy")
_, by_loss = run("eval_loss")
_, by_max = run("accuracy", mode="max")
print("accuracy at the evaluations:", *(f"{value:.2f}" for value in seen))
for text, rates in (
    ("by accuracy", by_accuracy),
    ("by eval_loss", by_loss),
    ("by accuracy, mode max", by_max),
):
    print(f"rates {text}:", *(f"{rate:.0e}" for rate in rates))

assert seen == sorted(seen)
assert by_accuracy[0] == 1e-2 and by_accuracy[-1] < 1.1e-5
assert set(by_loss) == {1e-2} and set(by_max) == {1e-2}
PY
