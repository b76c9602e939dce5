#!/usr/bin/env bash
# One would guess: eval_loss is the mean over the tokens of the evaluation set, as the training loss
#   has been one over the tokens of a step since transformers 4.46; per_device_eval_batch_size is
#   a matter of memory and speed.
# What happens: it is the mean over rows of their batch's mean over tokens. With a batch of 1 each
#   row counts as much as any other, with one batch for all each token does; in between it depends
#   on which rows meet. Where short answers (labels, numbers) stand beside long ones the figures of
#   one model differ by a factor of two. Two runs, or a run before and after a change of the batch, of the
#   order of the rows or of group_by_length, cannot be held against each other by eval_loss.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (one model, 32 answers of 1 token and 32 of 40):
#   mean over tokens 9.18, mean over rows 4.71
#   per_device_eval_batch_size 1: eval_loss 4.71
#   per_device_eval_batch_size 2: eval_loss 6.92
#   per_device_eval_batch_size 8: eval_loss 9.05
#   per_device_eval_batch_size 64: eval_loss 9.18
#   8, and the short answers first: eval_loss 4.71
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
import random

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

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
draw = random.Random(0)
short = [{"input_ids": [1, 2, 3], "labels": [-100, -100, 3]}] * 32
long = [[1, 2, *(draw.randrange(64) for _ in range(40))] for _ in range(32)]
long = [{"input_ids": ids, "labels": [-100, -100, *ids[2:]]} for ids in long]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(20):  # a model that knows the short answers
    loss = model(
        input_ids=torch.tensor([short[0]["input_ids"]]), labels=torch.tensor([short[0]["labels"]])
    ).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def padded(rows):
    width = max(len(row["input_ids"]) for row in rows)

    def column(name, filler):
        return torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows])

    return {"input_ids": column("input_ids", 0), "labels": column("labels", -100)}


def eval_loss(rows, size):
    trainer = Trainer(
        model,
        TrainingArguments(
            "out",
            per_device_eval_batch_size=size,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        eval_dataset=rows,
        data_collator=padded,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return trainer.evaluate()["eval_loss"]


rows = short + long
with torch.no_grad():
    losses = []
    for row in rows:
        logits = model.eval()(input_ids=torch.tensor([row["input_ids"]])).logits[0, 1:-1]
        targets = torch.tensor(row["labels"][2:])
        losses.append(cross_entropy(logits, targets, reduction="none"))
by_token, by_row = torch.cat(losses).mean().item(), sum(x.mean().item() for x in losses) / 64
print(f"mean over tokens {by_token:.2f}, mean over rows {by_row:.2f}")
mixed = draw.sample(rows, len(rows))
seen = {size: eval_loss(mixed, size) for size in (1, 2, 8, 64)}
for size, loss in seen.items():
    print(f"per_device_eval_batch_size {size}: eval_loss {loss:.2f}")
ordered = eval_loss(rows, 8)
print(f"8, and the short answers first: eval_loss {ordered:.2f}")

assert abs(seen[1] - by_row) < 1e-3 and abs(seen[64] - by_token) < 1e-3
assert seen[1] + 0.2 < seen[2] < seen[8] - 0.5 < seen[64] - 0.1
assert abs(ordered - seen[1]) < 0.01
PY
