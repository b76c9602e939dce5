#!/usr/bin/env bash
# One would guess: dataloader_drop_last is a setting of training, as drop_last of the training
#   loader is elsewhere: an evaluation looks at every row, and predict gives one answer a row.
# What happens: the Trainer's evaluation and prediction drop their last batch, too, without a word:
#   always the same rows, as they are not shuffled. predict returns fewer predictions than it was
#   given rows, which no longer line up with a list of all of them; with fewer rows than a batch an
#   evaluation has no eval_loss and no metrics, and reports 10,000 rows a second and more.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0 (CPU), Python 3.11.
# Output seen:
#   10 rows, batch 4:             eval_loss 3.0367, metrics of 10 rows, predict gives 10
#   10 rows, batch 4, drop_last:  eval_loss 3.0408, metrics of 8 rows, predict gives 8
#   the first 8 rows, batch 4:    eval_loss 3.0408, metrics of 8 rows, predict gives 8
#   10 rows, batch 16, drop_last: eval_loss None, metrics of no rows
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 transformers==5.23.0 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false "$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainingArguments

transformers.logging.set_verbosity_error()
torch.manual_seed(0)
config = GPT2Config(
    vocab_size=32, n_positions=8, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
)
model = GPT2LMHeadModel(config)
ROWS = [{"input_ids": row, "labels": row.clone()} for row in torch.randint(1, 32, (10, 8))]


def ask(name, rows, batch, drop_last):
    counted = []

    def metrics(predicted):
        counted.append(len(predicted.label_ids))
        return {}

    args = TrainingArguments(
        "out",
        per_device_eval_batch_size=batch,
        dataloader_drop_last=drop_last,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, args, eval_dataset=rows, compute_metrics=metrics)
    trainer.remove_callback(PrinterCallback)
    loss = trainer.evaluate().get("eval_loss")
    seen = counted[0] if counted else 0
    told = f"eval_loss {loss if loss is None else round(loss, 4)}, metrics of {seen or 'no'} rows"
    given = 0
    if seen:
        given = len(trainer.predict(rows).predictions)
        told += f", predict gives {given}"
    print(f"{name + ':':29} {told}")
    return loss, seen, given


whole = ask("10 rows, batch 4", ROWS, 4, False)
dropped = ask("10 rows, batch 4, drop_last", ROWS, 4, True)
first = ask("the first 8 rows, batch 4", ROWS[:8], 4, False)
none = ask("10 rows, batch 16, drop_last", ROWS, 16, True)

assert whole[1:] == (10, 10)
assert dropped[1:] == (8, 8)
assert abs(dropped[0] - first[0]) < 1e-6 < abs(dropped[0] - whole[0])
assert none == (None, 0, 0)
PY
