#!/usr/bin/env bash
# One would guess: a run over a streamed data set (an IterableDataset, max_steps for several passes)
#   that is resumed from a checkpoint goes on with the row after the checkpoint's last one, as it
#   does with a data set that has a length; and its epoch says how many passes are done.
# What happens: in the first pass it does. In a later one the passes that are done are not known:
#   all batches since step 1 are counted off in the first pass, which has fewer, and training starts
#   at the beginning of the second. Resumed in the middle of pass two its first half is trained
#   again and, where the run ends by max_steps, the rows at the run's end never are; from pass three
#   on the whole second pass is repeated. Nothing is said. The epoch in the log is of no help: it is
#   the pass plus step / max_steps, so that it leaps from 0.40 to 1.04 at the end of a pass.
# Versions: transformers 5.23.0, datasets 5.2.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (40 rows, batch 4: 10 steps a pass; max_steps 25; batches numbered as in the whole run):
#   whole run: 25 batches, epoch at steps 9 to 12: [0.36, 0.4, 1.04, 1.08]
#   resumed at step 6: batches 7 to 25
#   resumed at step 15: batches 11 to 20
#   resumed at step 24: batch 11
#   a data set with a length, resumed at step 15: batches 16 to 25
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 datasets==5.2.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import contextlib
import io

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments, default_data_collator

STEPS = 25
table = Dataset.from_dict({"row": list(range(40))})


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def forward(self, row, labels=None):
        self.seen.append(tuple(row.tolist()))
        return {"loss": (self.weight - 1) ** 2}


def run(folder, data, resume=None):
    model = Model()
    trainer = Trainer(
        model,
        TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=4,
            save_steps=3,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
        ),
        train_dataset=data,
        data_collator=default_data_collator,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train(resume_from_checkpoint=resume and f"{folder}/checkpoint-{resume}")
    return model.seen, [round(entry["epoch"], 2) for entry in trainer.state.log_history]


def told(numbers):
    first, last = numbers[0], numbers[-1]
    assert numbers == list(range(first, last + 1)), numbers
    return f"batches {first} to {last}" if last > first else f"batch {first}"


def stream():
    return table.to_iterable_dataset(num_shards=4).shuffle(seed=0, buffer_size=100)


whole, epochs = run("stream", stream())
print(f"whole run: {len(whole)} batches, epoch at steps 9 to 12: {epochs[8:12]}")
numbers = {batch: number for number, batch in enumerate(whole, 1)}
resumed = {}
for step in (6, 15, 24):
    seen, _ = run("stream", stream(), resume=step)
    resumed[step] = [numbers[batch] for batch in seen]
    print(f"resumed at step {step}: {told(resumed[step])}")
whole, _ = run("table", table)
numbers = {batch: number for number, batch in enumerate(whole, 1)}
seen, _ = run("table", table, resume=15)
sized = [numbers[batch] for batch in seen]
print(f"a data set with a length, resumed at step 15: {told(sized)}")

assert epochs[8:12] == [0.36, 0.4, 1.04, 1.08], epochs
assert resumed[6] == list(range(7, 26)), resumed
assert resumed[15] == list(range(11, 21)), resumed
assert resumed[24] == [11], resumed
assert sized == list(range(16, 26)), sized
PY
