#!/usr/bin/env bash
# One would guess: fit(x, labels, sample_weight=mask) with weights of 0 on padding and prompts gives
#   the mean loss over the tokens that count; that is how KerasHub's causal models mask, too.
# What happens: the weighted losses are summed and divided by the number of all places, masked ones
#   included. Rows of 8 tokens padded to 40 show a fifth of their loss, a fresh model's is 0.83
#   where ln V is 4.16, and the gradient is a fifth, too: with SGD padding further is a lower
#   learning rate. A metric in weighted_metrics divides by the weights, so that the two curves of
#   one quantity differ. reduction="mean_with_sample_weight" of the loss object is the mean over the
#   tokens that count.
# Versions: keras 3.15.1 on jax 0.10.2, Python 3.11.
# Output seen (the same 64 rows of 8 tokens, vocabulary 64, SGD, after 1 and 3 epochs):
#   padded to 8: loss 4.155, 4.100; weighted metric 4.155, 4.100
#   padded to 16: loss 2.079, 2.066; weighted metric 4.158, 4.131
#   padded to 40: loss 0.832, 0.830; weighted metric 4.161, 4.150
#   padded to 40, mean_with_sample_weight: loss 4.155, 4.100; weighted metric 4.155, 4.100
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KERAS_BACKEND=jax KERAS_HOME="$work/keras" JAX_PLATFORMS=cpu
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile keras==3.15.1 jax==0.10.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import math

import keras
import numpy as np

WORDS, ROWS, LENGTH = 64, 64, 8
Loss = keras.losses.SparseCategoricalCrossentropy


def fit(width, **settings):
    keras.utils.set_random_seed(0)
    starts = np.random.default_rng(0).integers(0, WORDS, (ROWS, 1))
    words = (starts + np.arange(LENGTH + 1)) % WORDS
    x, labels, mask = np.zeros((3, ROWS, width), int)
    x[:, :LENGTH], labels[:, :LENGTH], mask[:, :LENGTH] = words[:, :-1], words[:, 1:], 1
    model = keras.Sequential([keras.layers.Embedding(WORDS, 32), keras.layers.Dense(WORDS)])
    model.compile(
        optimizer=keras.optimizers.SGD(0.5),
        loss=Loss(from_logits=True, **settings),
        weighted_metrics=[keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="ce")],
    )
    history = model.fit(x, labels, sample_weight=mask, batch_size=16, epochs=3, verbose=0).history
    return history["loss"], history["ce"]


seen = {f"padded to {width}": fit(width) for width in (8, 16, 40)}
told = "mean_with_sample_weight"
seen[f"padded to 40, {told}"] = fit(40, reduction=told)
for name, (loss, metric) in seen.items():
    print(
        f"{name}: loss {loss[0]:.3f}, {loss[-1]:.3f}; "
        f"weighted metric {metric[0]:.3f}, {metric[-1]:.3f}"
    )

plain, twice, fifth, right = seen.values()
for loss, share in ((plain[0], 1), (twice[0], 1 / 2), (fifth[0], 1 / 5), (right[0], 1)):
    assert abs(loss[0] / share - math.log(WORDS)) < 0.1, loss
assert max(abs(a - b) for a, b in zip(plain[0], right[0], strict=True)) < 1e-3
learned = [each[1][0] - each[1][-1] for each in (plain, twice, fifth)]
assert learned[0] > 1.5 * learned[1] > 3 * learned[2], learned
PY
