#!/usr/bin/env bash
# One would guess: with gradient_accumulation_steps=4 a Keras optimizer counts its updates, and a schedule
#   of 400 steps lasts 400 updates, as under accumulation elsewhere.
# What happens: optimizer.iterations does count updates, the schedule is asked by the batch: its 400 steps
#   are 100 updates. Warm-up is a quarter as long as it reads; a decay that was made for all updates is
#   at its end after a quarter of the run, and if that end is 0 nothing is learned in the other three.
#   A schedule made for the batches (steps times 4) is right.
# Versions: keras 3.15.1, jax 0.10.2 (the backend), Python 3.11.
# Output seen (SGD on a gradient of 1, PolynomialDecay from 0.1 to 0 in 16 steps, 64 batches):
#   no accumulation: 64 updates, 16 of them move the weight, iterations 64
#   4 batches an update: 16 updates, 4 of them move the weight, iterations 16
#   4 batches an update, decay_steps 64: 16 updates, 16 of them move the weight, iterations 16
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KERAS_HOME="$work/keras" KERAS_BACKEND=jax
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile keras==3.15.1 jax==0.10.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import keras
import numpy

BATCHES, DECAY = 64, 16


def moves(accumulation, decay_steps):
    """Return how far each update moves a weight whose gradient is 1, and the iterations."""
    weight = keras.Variable(numpy.zeros(1, "float32"))
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, decay_steps, 0.0)
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=accumulation)
    optimizer.build([weight])
    places = [0.0]
    for batch in range(1, BATCHES + 1):
        optimizer.apply([numpy.ones(1, "float32")], [weight])
        if batch % (accumulation or 1) == 0:
            places.append(float(numpy.asarray(weight.value)[0]))
    iterations = int(numpy.asarray(keras.ops.convert_to_numpy(optimizer.iterations)))
    return [before - after for before, after in zip(places, places[1:], strict=False)], iterations


found = []
for name, accumulation, decay in (
    ("no accumulation", None, DECAY),
    ("4 batches an update", 4, DECAY),
    ("4 batches an update, decay_steps 64", 4, 4 * DECAY),
):
    steps, iterations = moves(accumulation, decay)
    moving = sum(step > 0 for step in steps)
    print(
        f"{name}: {len(steps)} updates, {moving} of them move the weight, iterations {iterations}",
        flush=True,
    )
    found.append((len(steps), moving, iterations))
assert found == [(64, 16, 64), (16, 4, 16), (16, 16, 16)], found
PY
