#!/usr/bin/env bash
# One would guess: optax.masked(optax.adamw(rate), mask) trains the weights whose mask is True (an
#   adapter, a head) and leaves the others as they are.
# What happens: what is not masked in passes through the wrapper as it came, and what came is the
#   gradient: apply_updates adds it. The base is moved up its own gradient, at a rate of 1 and with
#   the wrong sign, against which the adapter learns: the loss rises, or stays up. What is meant is
#   optax.multi_transform with set_to_zero() for the rest, or, chained behind it, a second mask,
#   optax.masked(optax.set_to_zero(), not_mask).
# Versions: optax 0.2.8, jax 0.10.2, Python 3.11.
# Output seen (a frozen layer and a head on it, 200 steps of AdamW at 1e-2):
#   masked: loss 1.56 -> 1.50, frozen layer changed by 2.0 times its size
#   multi_transform, set_to_zero: loss 1.56 -> 0.12, frozen layer changed by 0.0 times its size
#   masked, then masked set_to_zero: loss 1.56 -> 0.12, frozen layer changed by 0.0 times its size
#   one step of masked: the frozen layer's change is its gradient: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export JAX_PLATFORMS=cpu
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile optax==0.2.8 jax==0.10.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import jax
import jax.numpy as jnp
import optax

keys = jax.random.split(jax.random.key(0), 4)
x = jax.random.normal(keys[0], (256, 16))
labels = (x @ jax.random.normal(keys[1], (16, 4))).argmax(-1)
start = {
    "base": jax.random.normal(keys[2], (16, 64)) / 4,
    "head": jax.random.normal(keys[3], (64, 4)) / 8,
}
TRAINED = {"base": False, "head": True}
FROZEN = {"base": True, "head": False}


@jax.jit
def loss_of(weights):
    logits = jnp.tanh(x @ weights["base"]) @ weights["head"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


grad_of = jax.jit(jax.grad(loss_of))


def train(optimizer, steps):
    weights, state = start, optimizer.init(start)
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        changes, state = update(grad_of(weights), state, weights)
        weights = optax.apply_updates(weights, changes)
    return weights


adamw = optax.adamw(1e-2)
ways = {
    "masked": optax.masked(adamw, TRAINED),
    "multi_transform, set_to_zero": optax.multi_transform(
        {"train": adamw, "freeze": optax.set_to_zero()}, {"base": "freeze", "head": "train"}
    ),
    "masked, then masked set_to_zero": optax.chain(
        optax.masked(adamw, TRAINED), optax.masked(optax.set_to_zero(), FROZEN)
    ),
}
size = jnp.linalg.norm(start["base"])
before = float(loss_of(start))
seen = {}
for name, optimizer in ways.items():
    weights = train(optimizer, 200)
    moved = float(jnp.linalg.norm(weights["base"] - start["base"]) / size)
    seen[name] = float(loss_of(weights)), moved
    print(
        f"{name}: loss {before:.2f} -> {seen[name][0]:.2f}, "
        f"frozen layer changed by {moved:.1f} times its size"
    )
once = train(ways["masked"], 1)["base"] - start["base"]
up = bool(jnp.allclose(once, grad_of(start)["base"], atol=1e-6))
print(f"one step of masked: the frozen layer's change is its gradient: {up}")

masked, *right = seen.values()
assert up and masked[1] > 0.5 and masked[0] > before / 2, masked
assert all(loss < before / 2 and moved == 0 for loss, moved in right), right
PY
