#!/usr/bin/env bash
# One would guess: stream.take(n) and stream.skip(n) split a stream: what the one yields the other
#   never does. Shuffled first, as the manual says, the split is random, and stays.
# What happens: skip(n) leaves out the first n rows of whoever reads, in the order of that pass.
#   1. The Trainer tells a shuffled stream its epoch, and the order is another one in each: from the
#      second epoch on skip(n) leaves out other rows, and more and more of those held out have been
#      trained. The evaluation set is not told the epoch and stays the same rows.
#   2. With workers the n are divided: each skips n / workers rows of its own shards. Rows taken
#      once, in the main process (list(stream.take(n)), a file of them), are those of the first
#      shard: with 4 workers three quarters of them are trained in the first epoch.
#   A split by files, or by the row itself (a hash in filter), keeps the two apart.
# Versions: datasets 5.2.0, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (400 rows in 4 shards, 80 held out):
#   shuffled, then take and skip: held-out rows trained in epochs 1, 2, 3: [0, 28, 31]
#     evaluated after each: the same 80 rows: True
#   skip with 0, 2 and 4 workers: held-out rows trained: [0, 40, 60]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 datasets==5.2.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from collections import defaultdict

import torch
import transformers
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
ROWS, HELD, BATCH = 400, 80, 8


def row(number):
    ids = [3 + number % 20, 3 + number // 20, 1, 2]
    return {"input_ids": ids, "labels": ids}


def numbers(ids):
    return [int(first - 3 + 20 * (second - 3)) for first, second, *_ in ids]


def held_out(rows):
    return set(numbers(row["input_ids"] for row in rows))


class Noted(Trainer):
    """Notes the rows of each batch that is trained, and those of each evaluation."""

    def training_step(self, model, inputs, *args, **more):
        self.seen.append(numbers(inputs["input_ids"]))
        return super().training_step(model, inputs, *args, **more)

    def prediction_step(self, model, inputs, *args, **more):
        self.evaluated[self.state.global_step] |= set(numbers(inputs["input_ids"]))
        return super().prediction_step(model, inputs, *args, **more)


def train(stream, evaluation=None, epochs=1, workers=0):
    """Return the rows trained in each epoch, and those of each evaluation at an epoch's end."""
    steps = (ROWS - HELD) // BATCH
    trainer = Noted(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
            )
        ),
        TrainingArguments(
            output_dir="out",
            max_steps=epochs * steps,
            per_device_train_batch_size=BATCH,
            dataloader_num_workers=workers,
            eval_strategy="steps" if evaluation else "no",
            eval_steps=steps,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=stream,
        eval_dataset=evaluation,
    )
    trainer.seen, trainer.evaluated = [], defaultdict(set)
    trainer.train()
    parts = [trainer.seen[i : i + steps] for i in range(0, epochs * steps, steps)]
    trained = [{row for batch in part for row in batch} for part in parts]
    return trained, list(trainer.evaluated.values())


rows = Dataset.from_list([row(number) for number in range(ROWS)])
stream = rows.to_iterable_dataset(num_shards=4)

shuffled = stream.shuffle(seed=42, buffer_size=100)
held = held_out(shuffled.take(HELD))
trained, evaluated = train(shuffled.skip(HELD), shuffled.take(HELD), epochs=3)
epochs = [len(held & rows) for rows in trained]
print(f"shuffled, then take and skip: held-out rows trained in epochs 1, 2, 3: {epochs}")
print(f"  evaluated after each: the same {HELD} rows: {evaluated == 3 * [held]}")

held = held_out(list(stream.take(HELD)))
workers = {count: len(held & train(stream.skip(HELD), workers=count)[0][0]) for count in (0, 2, 4)}
print(f"skip with 0, 2 and 4 workers: held-out rows trained: {list(workers.values())}")

assert evaluated == 3 * [held_out(shuffled.take(HELD))]
assert epochs[0] == 0 and min(epochs[1:]) > 10, epochs
assert workers == {0: 0, 2: HELD // 2, 4: 3 * HELD // 4}, workers
PY
