#!/usr/bin/env bash
# One would guess: labels of -100, as every collator of transformers, TRL and others writes them,
#   also with return_tensors="np", are left out by a cross-entropy, or refused.
# What happens: torch leaves them out by a default of its own. optax and mlx take -100 as an index
#   from the end: in a vocabulary of 151,936 words padding and prompts are trained to be followed by
#   token 151,836, with full weight and in silence. (In optax a vocabulary of less than 100 gives
#   NaN, so that a test with a tiny model shows something else.) Such labels have to be masked by
#   hand; optax has where= for the mean only, mlx has weights=.
# Versions: optax 0.2.8, jax 0.10.2, mlx 0.32.4 (CPU), torch 2.13.0, transformers 5.23.0,
#   Python 3.11.
# Output seen (labels of a row of 3 words and 3 of padding, from DataCollatorForSeq2Seq):
#   labels [5, 6, 7, -100, -100, -100]
#   torch: [4.97, 5.39, 5.59, 0.0, 0.0, 0.0]
#   optax: [4.97, 5.39, 5.59, 5.64, 5.58, 6.33]
#   mlx: [4.97, 5.39, 5.59, 5.64, 5.58, 6.33]
#   torch with labels of 28 for -100: [4.97, 5.39, 5.59, 5.64, 5.58, 6.33]
#   trained by optax, what the model says at the places of padding: [28, 28, 28]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 JAX_PLATFORMS=cpu MLX_DISABLE_COMPILE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  optax==0.2.8 jax==0.10.2 "mlx[cpu]==0.32.4"
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import optax
import torch
from mlx.nn.losses import cross_entropy
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast

WORDS = 128
inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, "w0"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="w0")
collate = DataCollatorForSeq2Seq(tokenizer, return_tensors="np")
rows = [[5, 6, 7], [1, 2, 3, 4, 5, 6]]
labels = collate([{"input_ids": row, "labels": row} for row in rows])["labels"][0]
logits = np.random.default_rng(0).normal(size=(len(labels), WORDS)).astype("float32")


def by_torch(labels):
    losses = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), reduction="none"
    )
    return losses.numpy()


of_optax = optax.softmax_cross_entropy_with_integer_labels
seen = {
    "torch": by_torch(labels),
    "optax": np.asarray(of_optax(jnp.asarray(logits), jnp.asarray(labels))),
    "mlx": np.array(cross_entropy(mx.array(logits), mx.array(labels))),
    "torch with labels of 28 for -100": by_torch(np.where(labels == -100, WORDS - 100, labels)),
}
print("labels", labels.tolist())
for name, losses in seen.items():
    print(f"{name}:", [round(loss, 2) for loss in losses.tolist()])

weights = jnp.asarray(logits)
loss = jax.jit(jax.grad(lambda weights: of_optax(weights, jnp.asarray(labels)).mean()))
for _ in range(200):
    weights = weights - 5.0 * loss(weights)
said = weights[3:].argmax(-1).tolist()
print("trained by optax, what the model says at the places of padding:", said)

assert labels.tolist() == [5, 6, 7, -100, -100, -100]
assert seen["torch"][3:].tolist() == [0.0, 0.0, 0.0]
for name in ("optax", "mlx"):
    assert np.allclose(seen[name], seen["torch with labels of 28 for -100"], atol=1e-3), name
assert said == [28, 28, 28], said
PY
