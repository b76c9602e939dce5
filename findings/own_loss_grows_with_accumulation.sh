#!/usr/bin/env bash
# One would guess: a compute_loss of one's own in a subclass of Trainer that returns the mean over
#   its batch (weighted, focal, distilled) is averaged over the pieces of an accumulated step.
# What happens: since the Trainer normalises over all pieces by itself, it takes what compute_loss
#   returns as done already, if only the model's forward takes **kwargs, as every causal language
#   model does: N pieces are added, not averaged. The logged loss and the gradient are N times as
#   large, eval_loss is right. With clipping at 1 the run is one at a clipped gradient all along, with
#   Adam it looks as ever, but for the loss. loss_is_scaled_for_ga = False in the class has it
#   divided; older versions do not have it, and want a division by hand.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (the same 8 rows; the first step's loss and gradient norm, eval_loss before it):
#   Trainer's own loss, batch 8 x 1: loss 4.175, grad_norm 1.126, eval_loss 4.175
#   Trainer's own loss, batch 1 x 8: loss 4.175, grad_norm 1.126, eval_loss 4.175
#   a mean of one's own, batch 8 x 1: loss 4.175, grad_norm 1.126, eval_loss 4.175
#   a mean of one's own, batch 1 x 8: loss 33.402, grad_norm 9.006, eval_loss 4.175
#   loss_is_scaled_for_ga = False, batch 1 x 8: loss 4.175, grad_norm 1.126, eval_loss 4.175
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import contextlib
import io

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

rows = [{"input_ids": [(row * 7 + place) % 64 for place in range(8)]} for row in range(8)]
for row in rows:
    row["labels"] = row["input_ids"]


class Own(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = cross_entropy(outputs.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten())
        return (loss, outputs) if return_outputs else loss


class Told(Own):
    loss_is_scaled_for_ga = False


def first_step(kind, batch, pieces):
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
    trainer = kind(
        model,
        TrainingArguments(
            "out",
            max_steps=1,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=pieces,
            logging_steps=1,
            max_grad_norm=1e9,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
    row = next(row for row in trainer.state.log_history if "loss" in row)
    return row["loss"], float(row["grad_norm"]), before


seen = []
for name, kind, batch, pieces in (
    ("Trainer's own loss", Trainer, 8, 1),
    ("Trainer's own loss", Trainer, 1, 8),
    ("a mean of one's own", Own, 8, 1),
    ("a mean of one's own", Own, 1, 8),
    ("loss_is_scaled_for_ga = False", Told, 1, 8),
):
    seen.append(first_step(kind, batch, pieces))
    loss, norm, before = seen[-1]
    print(
        f"{name}, batch {batch} x {pieces}: "
        f"loss {loss:.3f}, grad_norm {norm:.3f}, eval_loss {before:.3f}"
    )

loss, norm, before = seen[0]
for number, (its_loss, its_norm, its_before) in enumerate(seen):
    times = 8 if number == 3 else 1
    assert abs(its_loss / loss - times) < 0.02 * times, seen
    assert abs(its_norm / norm - times) < 0.02 * times, seen
    assert abs(its_before - before) < 1e-3, seen
PY
