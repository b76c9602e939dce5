#!/usr/bin/env bash
# One would guess: trainer.hyperparameter_search() of a trainer that has compute_metrics,
#   metric_for_best_model="accuracy" and greater_is_better=True looks for the best accuracy.
# What happens: neither argument is asked. The objective is the sum of all that compute_metrics
#   returns, without eval_loss, and it is made as small as can be: of two rates the one that
#   learns nothing is the best run. Beside a second metric (perplexity, say) the sum is a number
#   of no meaning. direction="maximize" and compute_objective have to be given; without
#   compute_metrics the objective is eval_loss, and all is well.
# Versions: transformers 5.23.0, optuna 5.0.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   accuracy at the end of each trial: 1e-06: 0.03, 0.01: 1.00
#   eval_loss: 1e-06: 4.17, 0.01: 2.21
#   best run: learning_rate 1e-06, objective 0.03
#   without compute_metrics: learning_rate 0.01
#   direction="maximize": learning_rate 0.01
#   the objective of accuracy 0.5 and perplexity 20: 20.5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 optuna==5.0.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import contextlib
import io

import optuna
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, TrainerCallback
from transformers.trainer_utils import default_compute_objective

RATES = [1e-6, 1e-2]
rows = [{"input_ids": [(row * 7 + place) % 64 for place in range(8)]} for row in range(64)]
for row in rows:
    row["labels"] = row["input_ids"]


def model():
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )


def accuracy(predictions):
    logits, labels = predictions
    return {"accuracy": float((logits[:, :-1].argmax(-1) == labels[:, 1:]).mean())}


class Noted(TrainerCallback):
    def __init__(self):
        self.ends = {}

    def on_evaluate(self, args, state, control, metrics, **_):
        self.ends[args.learning_rate] = metrics


def search(metrics=accuracy, **how):
    noted = Noted()
    trainer = Trainer(
        args=TrainingArguments(
            "out",
            max_steps=12,
            per_device_train_batch_size=64,
            eval_strategy="steps",
            eval_steps=12,
            save_strategy="no",
            logging_strategy="no",
            metric_for_best_model="accuracy" if metrics else "loss",
            greater_is_better=bool(metrics),
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        model_init=model,
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=metrics,
        callbacks=[noted],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        best = trainer.hyperparameter_search(
            hp_space=lambda trial: {
                "learning_rate": trial.suggest_categorical("learning_rate", RATES)
            },
            n_trials=len(RATES),
            sampler=optuna.samplers.GridSampler({"learning_rate": RATES}),
            backend="optuna",
            **how,
        )
    return best, {rate: noted.ends[rate] for rate in RATES}


best, ends = search()
for name, title in (("eval_accuracy", "accuracy at the end of each trial"), ("eval_loss",) * 2):
    print(f"{title}:", ", ".join(f"{rate}: {end[name]:.2f}" for rate, end in ends.items()))
rate = best.hyperparameters["learning_rate"]
print(f"best run: learning_rate {rate}, objective {best.objective:.2f}")
by_loss = search(metrics=None)[0].hyperparameters["learning_rate"]
print(f"without compute_metrics: learning_rate {by_loss}")
most = search(direction="maximize")[0]
print(f'direction="maximize": learning_rate {most.hyperparameters["learning_rate"]}')
total = default_compute_objective(
    {"eval_loss": 3.0, "eval_accuracy": 0.5, "eval_perplexity": 20.0, "eval_runtime": 1.0}
)
print(f"the objective of accuracy 0.5 and perplexity 20: {total}")

reached = {rate: end["eval_accuracy"] for rate, end in ends.items()}
assert reached[1e-6] < 0.2 and reached[1e-2] > 0.9
assert (rate, best.objective) == (1e-6, reached[1e-6])
assert by_loss == 1e-2 and most.objective == max(reached.values())
assert total == 20.5
PY
