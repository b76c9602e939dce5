#!/usr/bin/env bash
# One would guess: mlx_lm's loss is the mean over the tokens of the answer, its end included, as
#   elsewhere; padding is left out.
# What happens: the first token of padding after a row is counted, too (batches are one wider than
#   the next multiple of 32, so there always is one, unless the row was cut): the model learns to
#   say id 0 after the end of every row, whatever word that is, and that token, which is soon free,
#   dilutes the training and validation loss: by n / (n + 1) for answers of n tokens. With a label
#   and its end it is two thirds of the loss that other trainers show for the same model.
# Versions: mlx 0.32.4 (CPU), mlx-lm 0.32.2, Python 3.11.
# Output seen (mask_prompt, answers by the toss of a coin, of which ln 2 = 0.69 is the best):
#   a row's answer: no <eos>; tokens counted of it: 3
#   loss of answers 0.71, of their ends 0.00, mean 0.36; told 0.24
#   after the end the model says 'zero', id 0, by 100.0%
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

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.datasets import CacheDataset, CompletionsDataset
from mlx_lm.tuner.trainer import TrainingArgs, evaluate, train
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = ["zero", "<eos>", "yes", "no", *(f"w{number}" for number in range(60))]
inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "zero"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")
tokenizer.chat_template = (
    "{% for m in messages %}{{ m.content }} {% if m.role == 'assistant' %}<eos>{% endif %}"
    "{% endfor %}"
)
draw = random.Random(0)


def rows(count):
    """Answers by the toss of a coin: ln 2 is the best that a model can do on them."""
    return [
        {
            "prompt": " ".join(f"w{draw.randrange(60)}" for _ in range(6)),
            "completion": draw.choice(["yes", "no"]),
        }
        for _ in range(count)
    ]


def dataset(count):
    return CacheDataset(CompletionsDataset(rows(count), tokenizer, "prompt", "completion", True))


np.random.seed(0)  # mlx_lm draws the order of the batches from it
mx.random.seed(0)
model = Model(
    ModelArgs(
        model_type="llama",
        hidden_size=32,
        num_hidden_layers=1,
        intermediate_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=64,
    )
)
seen = []


class Note:
    def on_train_loss_report(self, told):
        seen.append(told["trained_tokens"])

    def on_val_loss_report(self, told):
        pass


with contextlib.redirect_stdout(io.StringIO()):
    train(
        model,
        optim.Adam(3e-3),
        dataset(1024),
        None,
        TrainingArgs(batch_size=16, iters=200, steps_per_report=100, adapter_file="a.safetensors"),
        training_callback=Note(),
    )
held_out = dataset(320)
told = evaluate(model, held_out, 16, -1)
answers, ends = [], []
for row in range(320):
    ids, start = held_out[row]
    each = nn.losses.cross_entropy(model(mx.array([ids[:-1]])), mx.array([ids[1:]]))[0].tolist()
    answers.append(each[start - 1])
    ends.append(each[start])
answer, end = sum(answers) / 320, sum(ends) / 320
mean = (answer + end) / 2
tokens, start = held_out[0]
said = mx.softmax(model(mx.array([tokens]))[0, -1])
best = tokenizer.decode([said.argmax().item()])
counted = seen[-1] / (200 * 16)
print(f"a row's answer: {tokenizer.decode(tokens[start:])}; tokens counted of it: {counted:g}")
print(f"loss of answers {answer:.2f}, of their ends {end:.2f}, mean {mean:.2f}; told {told:.2f}")
print(f"after the end the model says {best!r}, id 0, by {said.max().item():.1%}")

assert len(tokens) - start == 2 and counted == 3, counted
assert abs(told - mean * 2 / 3) < 0.01 and mean - told > 0.08, (told, mean)
assert said.argmax().item() == 0 and said.max().item() > 0.9
PY
