#!/usr/bin/env bash
# One would guess: torch's ReduceLROnPlateau cuts the rate once the metric has not become better for
#   `patience` evaluations, whatever the metric's sign: a log-likelihood or a reward below 0, or the
#   negative of an accuracy that "min" asks for.
# What happens: better means by a part (1e-4) of the best value (threshold_mode="rel"), and below 0 the sum
#   points the other way: a value that stays the same is "better" each time, in both modes, and so is one
#   that gets worse by less than that part: it becomes the new best. The rate is never cut. The same
#   values above 0, or threshold_mode="abs", are cut as they should be. transformers'
#   lr_scheduler_type="reduce_lr_on_plateau" is this schedule with these defaults.
# Versions: torch 2.13.0, transformers 5.23.0, accelerate 1.15.0, Python 3.11.
# Output seen (rate 1, patience 2, 30 evaluations at 2.5 and at -2.5, the same or worse by 0.0001 each time:
#   cuts; and the rates of the Trainer for a model that no longer learns, patience 1, the last with
#   threshold_mode="abs"):
#   same: 2.5 min rel 9, 2.5 min abs 9, 2.5 max rel 9, 2.5 max abs 9, -2.5 min rel 0, -2.5 min abs 9,
#     -2.5 max rel 0, -2.5 max abs 9
#   worse: 2.5 min rel 9, 2.5 min abs 9, 2.5 max rel 9, 2.5 max abs 9, -2.5 min rel 0, -2.5 min abs 9,
#     -2.5 max rel 0, -2.5 max abs 9
#   Trainer, eval_loss at 4.18: 1e-09 1e-09 1e-09 1e-10 1e-10 1e-11 1e-11 1e-12
#   Trainer, likelihood at -4.18: 1e-09 1e-09 1e-09 1e-09 1e-09 1e-09 1e-09 1e-09
#   Trainer, likelihood at -4.18: 1e-09 1e-09 1e-09 1e-10 1e-10 1e-11 1e-11 1e-12
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
import transformers
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None


def cuts(values, **settings):
    """Return how often the rate is cut."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, patience=2, eps=0, **settings)
    rates = [1.0]
    for value in values:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return sum(after < before for before, after in zip(rates, rates[1:], strict=False))


def row(name, step):
    """Return the cuts of values that get worse by the step, above and below 0."""
    found = {}
    for start in (2.5, -2.5):
        for mode, sign in (("min", 1), ("max", -1)):
            for kind in ("rel", "abs"):
                values = [start + sign * step * at for at in range(30)]
                found[start, mode, kind] = cuts(values, mode=mode, threshold_mode=kind)
    print(
        f"{name}: {', '.join(f'{s:g} {m} {k} {n}' for (s, m, k), n in found.items())}", flush=True
    )
    return found


ids = torch.randint(3, 64, (8, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": one, "labels": one.clone()} for one in ids]


def likelihood(predictions):
    """Return the mean log-likelihood of a token: the negative of eval_loss."""
    logits = torch.as_tensor(predictions.predictions)[:, :-1].log_softmax(-1)
    labels = torch.as_tensor(predictions.label_ids)[:, 1:].unsqueeze(-1)
    return {"likelihood": logits.gather(-1, labels).mean().item()}


def rates(metric, **more):
    """Return the rates that the Trainer logs for a model that no longer learns."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    trainer = Trainer(
        LlamaForCausalLM(config),
        TrainingArguments(
            output_dir="out",
            max_steps=8,
            learning_rate=1e-9,
            lr_scheduler_type="reduce_lr_on_plateau",
            lr_scheduler_kwargs={"patience": 1, "eps": 0, **more},
            metric_for_best_model=metric,
            greater_is_better=metric == "likelihood",
            eval_strategy="steps",
            eval_steps=1,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=likelihood,
    )
    trainer.train()
    log = trainer.state.log_history
    values = [row[f"eval_{metric.removeprefix('eval_')}"] for row in log if "eval_loss" in row]
    assert max(values) - min(values) < 1e-5
    found = [row["learning_rate"] for row in log if "learning_rate" in row]
    print(
        f"Trainer, {metric} at {values[0]:.2f}: {' '.join(f'{rate:.0e}' for rate in found)}",
        flush=True,
    )
    return found


same, worse = row("same", 0.0), row("worse", 1e-4)
by_loss = rates("eval_loss")
by_likelihood = rates("likelihood", mode="max")
absolute = rates("likelihood", mode="max", threshold_mode="abs")

for found in (same, worse):
    for (start, _, kind), number in found.items():
        assert number == 0 if (start, kind) == (-2.5, "rel") else number == 9, found
assert set(by_likelihood) == {1e-9}
assert by_loss == absolute and by_loss[-1] < 1e-11, (by_loss, absolute)
PY
