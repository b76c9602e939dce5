#!/usr/bin/env bash
# One would guess: optax.inject_hyperparams(optax.adamw)(learning_rate=...), which keeps the
#   settings in the state (so that the rate can be logged, or changed), takes the steps that adamw
#   takes.
# What happens: it casts every setting to the dtype of the weights (the widest of them). In
#   bfloat16 b2 = 0.999 is 1: the second moment stays 0, its bias correction divides 0 by 0, and
#   all weights are NaN after the first step, as in a run whose rate is too high. b2 = 0.99 and
#   0.95 become 0.988 and 0.949; the rate that is logged is rounded as well.
#   hyperparam_dtype=jnp.float32 keeps them.
# Versions: optax 0.2.8, jax 0.10.2, Python 3.11.
# Output seen (weights of 1, gradients of 0.5, AdamW at 1e-2, after three steps):
#   float32: 0.97
#   bfloat16: nan, b2 in use 1.0, learning_rate 0.010009765625
#   bfloat16, without inject_hyperparams: 0.96
#   bfloat16, hyperparam_dtype float32: 0.96
#   b2 in bfloat16: 0.999 -> 1.0, 0.99 -> 0.98828125, 0.95 -> 0.94921875
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export JAX_PLATFORMS=cpu
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile optax==0.2.8 jax==0.10.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import math

import jax.numpy as jnp
import optax


def train(optimizer, weights):
    state = optimizer.init(weights)
    for _ in range(3):
        gradients = {name: jnp.full_like(weight, 0.5) for name, weight in weights.items()}
        changes, state = optimizer.update(gradients, state, weights)
        weights = optax.apply_updates(weights, changes)
    settings = {name: float(value) for name, value in getattr(state, "hyperparams", {}).items()}
    return {name: float(weight[0]) for name, weight in weights.items()}, settings


def ones(dtype):
    return {"w": jnp.ones(4, dtype)}


injected = optax.inject_hyperparams(optax.adamw)
kept = optax.inject_hyperparams(optax.adamw, hyperparam_dtype=jnp.float32)
full, _ = train(injected(1e-2), ones(jnp.float32))
half, used = train(injected(1e-2), ones(jnp.bfloat16))
plain, _ = train(optax.adamw(1e-2), ones(jnp.bfloat16))
right, _ = train(kept(1e-2), ones(jnp.bfloat16))
print(f"float32: {full['w']:.2f}")
print(f"bfloat16: {half['w']}, b2 in use {used['b2']}, learning_rate {used['learning_rate']}")
print(f"bfloat16, without inject_hyperparams: {plain['w']:.2f}")
print(f"bfloat16, hyperparam_dtype float32: {right['w']:.2f}")
given = {
    b2: train(injected(1e-2, b2=b2), ones(jnp.bfloat16))[1]["b2"] for b2 in (0.999, 0.99, 0.95)
}
print("b2 in bfloat16: " + ", ".join(f"{b2} -> {value}" for b2, value in given.items()))

assert math.isnan(half["w"])
assert used["b2"] == 1 and used["learning_rate"] != 0.01
assert all(abs(each["w"] - 0.97) < 0.02 for each in (full, plain, right))
PY
