#!/usr/bin/env bash
# One would guess: mlx_lm's LoRA trainer shuffles the rows each epoch, or puts rows of like length
#   together (it sorts by length, its code says), and each row has its turn.
# What happens: what it sorts by is the number of a row's keys, since the rows are still
#   dictionaries then: the order of the file stays. Rows 1 to 4 are one batch for ever, 5 to 8 the
#   next; only the order of the batches is drawn. A file sorted by kind gives batches of one kind,
#   long and short rows are padded together, rows with "tools" come after all others. And what is
#   left over at the end (rows modulo batch size) is never trained, however long the run, nor
#   evaluated: a validation set of 7 rows at batch 4 is measured by its first 4.
# Versions: mlx 0.32.4 (CPU), mlx-lm 0.32.2, Python 3.11.
# Output seen (23 rows of 3 to 39 tokens, batch 4, 60 iterations: 12 passes):
#   batches seen: [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 20]
#   rows never trained: [21, 22, 23]
#   longest and shortest row of each batch: 27/9, 38/18, 28/6, 39/17, 39/20
#     as rows sorted by length would have: 9/4, 17/9, 21/18, 27/22, 35/28
#   evaluated: rows [1, 2, 3, 4] of 7
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 MLX_DISABLE_COMPILE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile "mlx[cpu]==0.32.4" "mlx-lm[train]==0.32.2"
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>&1 | grep -v 'None of PyTorch'
import contextlib
import io
import random

import mlx.optimizers as optim
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.datasets import CacheDataset, TextDataset
from mlx_lm.tuner.trainer import TrainingArgs, evaluate, iterate_batches, train
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

ROWS, BATCH = 23, 4
words = ["<pad>", "<eos>", *(f"w{number}" for number in range(62))]
inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<pad>"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
draw = random.Random(0)
texts = [
    " ".join([f"w{row}", *(f"w{draw.randrange(62)}" for _ in range(draw.randrange(1, 39)))])
    for row in range(ROWS)
]
lengths = [len(text.split()) + 1 for text in texts]


def dataset(count):
    return CacheDataset(TextDataset([{"text": text} for text in texts[:count]], tokenizer))


def model():
    return Model(
        ModelArgs(
            model_type="llama",
            hidden_size=16,
            num_hidden_layers=1,
            intermediate_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=64,
        )
    )


def noted(into):
    """mlx_lm's own batches, with the rows that they hold noted by their first words."""

    def batches(**settings):
        for batch in iterate_batches(**settings):
            into.append(tuple(first - 1 for first in batch[0][:, 0].tolist()))
            yield batch

    return batches


trained, evaluated = [], []
with contextlib.redirect_stdout(io.StringIO()):
    train(
        model(),
        optim.Adam(1e-3),
        dataset(ROWS),
        None,
        TrainingArgs(batch_size=BATCH, iters=60, steps_per_report=60, adapter_file="a.safetensors"),
        iterate_batches=noted(trained),
    )
    evaluate(model(), dataset(7), BATCH, -1, iterate_batches=noted(evaluated))

kinds = sorted(set(trained))
print("batches seen:", ", ".join(map(str, map(list, kinds))))
never = sorted(set(range(1, ROWS + 1)) - {row for batch in trained for row in batch})
print("rows never trained:", never)


def spread(batches):
    sizes = [[lengths[row - 1] for row in batch] for batch in batches]
    return [f"{max(each)}/{min(each)}" for each in sizes]


order = sorted(range(1, ROWS + 1), key=lambda row: lengths[row - 1])
alike = [order[i : i + BATCH] for i in range(0, ROWS - BATCH + 1, BATCH)]
print(f"longest and shortest row of each batch: {', '.join(spread(kinds))}")
print(f"  as rows sorted by length would have: {', '.join(spread(alike))}")
print("evaluated: rows", *map(list, evaluated), "of 7")

assert len(trained) == 60
assert kinds == [tuple(range(i, i + BATCH)) for i in range(1, 18, BATCH)], kinds
assert never == [21, 22, 23], never
assert evaluated == [(1, 2, 3, 4)], evaluated
PY
