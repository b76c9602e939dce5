#!/usr/bin/env bash
# One would guess: a Muon step is an orthogonal matrix times the learning rate, so a rate for Muon means the
#   same in torch.optim, optax and Keras, and about the same change for each matrix of a model.
# What happens: torch and optax by default (adjust_lr_fn="original") scale it by the root of rows over
#   columns where that is above 1, Keras by 0.2 times the root of the longer side. At one rate the weights
#   of a 1,024 x 1,024 matrix move 6.4 times as far in Keras, by its formula 13 times at 4,096: a rate
#   from the one is a failed run in the other. torch's smaller scale also parts LoRA's two matrices: at
#   rank 8 and a width of 1,024 B moves eleven times as far as A. torch's
#   adjust_lr_fn="match_rms_adamw" is Keras' scale: about 0.2 of the rate for every shape.
# Versions: torch 2.13.0, optax 0.2.8 (jax 0.10.2), keras 3.15.1, Python 3.11.
# Output seen (first step at rate 1, no weight decay: a weight's root mean square change; out x in, the
#   kernel of optax and Keras lies the other way round):
#   64 x 64: torch 0.111, match_rms_adamw 0.177, optax 0.111, keras 0.177
#   1024 x 1024: torch 0.028, match_rms_adamw 0.182, optax 0.028, keras 0.182
#   256 x 64: torch 0.108, match_rms_adamw 0.173, optax 0.108, keras 0.172
#   64 x 256: torch 0.054, match_rms_adamw 0.172, optax 0.054, keras 0.172
#   8 x 1024: torch 0.034, match_rms_adamw 0.215, optax 0.034, keras 0.215
#   1024 x 8: torch 0.378, match_rms_adamw 0.214, optax 0.380, keras 0.215
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KERAS_HOME="$work/keras" KERAS_BACKEND=jax
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 jax==0.10.2 optax==0.2.8 \
  keras==3.15.1
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import keras
import numpy
import optax.contrib
import torch
from jax import numpy as jnp


def size(change):
    return float(numpy.sqrt(numpy.mean(numpy.square(numpy.asarray(change)))))


def of_torch(gradient, **how):
    weight = torch.nn.Parameter(torch.zeros(gradient.shape))
    optimizer = torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, **how)
    weight.grad = torch.tensor(gradient)
    optimizer.step()
    return size(weight.detach().numpy())


def of_optax(gradient):
    weights = {"kernel": jnp.zeros(gradient.T.shape)}
    optimizer = optax.contrib.muon(1.0, weight_decay=0.0)
    state = optimizer.init(weights)
    return size(optimizer.update({"kernel": jnp.asarray(gradient.T)}, state, weights)[0]["kernel"])


def of_keras(gradient):
    weight = keras.Variable(numpy.zeros(gradient.T.shape, "float32"), name="kernel")
    optimizer = keras.optimizers.Muon(1.0, weight_decay=None)
    optimizer.build([weight])
    optimizer.apply([jnp.asarray(gradient.T)], [weight])
    return size(weight.value)


random, found = numpy.random.default_rng(0), {}
for shape in ((64, 64), (1024, 1024), (256, 64), (64, 256), (8, 1024), (1024, 8)):
    gradient = random.normal(size=shape).astype("float32")
    steps = (
        of_torch(gradient),
        of_torch(gradient, adjust_lr_fn="match_rms_adamw"),
        of_optax(gradient),
        of_keras(gradient),
    )
    found[shape] = steps
    print(
        "{} x {}: torch {:.3f}, match_rms_adamw {:.3f}, optax {:.3f}, keras {:.3f}".format(
            *shape, *steps
        ),
        flush=True,
    )
for plain, matched, other, third in found.values():
    assert abs(plain / other - 1) < 0.03 and abs(matched / third - 1) < 0.03, found
    assert 0.15 < third < 0.25, found
wide = found[1024, 1024]
assert 6 < wide[3] / wide[0] < 7, wide
assert 10 < found[1024, 8][0] / found[8, 1024][0] < 12.5, found
PY
