#!/usr/bin/env bash
# One would guess: a cosine schedule that is stepped more often than it was told stays at its end, as a
#   linear one does: the last steps of a run that is longer than planned change nothing.
# What happens: torch's CosineAnnealingLR and transformers' cosine, also the one with a minimum, go on along
#   the cosine: half a run behind the end the rate is at half, a run behind it at the full rate. Where the
#   steps were counted without the second epoch, or with an accumulation that is not used, a model that
#   had settled is shaken up again. Neither says anything. transformers' linear, polynomial and
#   cosine_with_restarts, torch's LinearLR and PolynomialLR, optax's and Keras' cosine stay at the end.
# Versions: torch 2.13.0, transformers 5.23.0, optax 0.2.8 (jax 0.10.2), keras 3.15.1, Python 3.11.
# Output seen (a schedule of 100 steps from a rate of 1: the rate at steps 50, 100, 150 and 200):
#   torch CosineAnnealingLR: 0.50 0.00 0.50 1.00
#   transformers cosine: 0.50 0.00 0.50 1.00
#   transformers cosine_with_min_lr: 0.55 0.10 0.55 1.00
#   transformers cosine_with_restarts: 0.50 0.00 0.00 0.00
#   transformers linear: 0.50 0.00 0.00 0.00
#   transformers polynomial: 0.50 0.00 0.00 0.00
#   torch LinearLR: 0.50 0.00 0.00 0.00
#   torch PolynomialLR: 0.50 0.00 0.00 0.00
#   optax cosine_decay_schedule: 0.50 0.00 0.00 0.00
#   keras CosineDecay: 0.50 0.00 0.00 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 KERAS_HOME="$work/keras" KERAS_BACKEND=jax
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 numpy==2.4.6 \
  jax==0.10.2 optax==0.2.8 keras==3.15.1
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import keras
import optax
import torch
from torch.optim import lr_scheduler
from transformers import get_scheduler

STEPS, LOOKS = 100, (50, 100, 150, 200)


def stepped(make):
    """Return the rates of a scheduler of torch's kind."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(max(LOOKS) + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [float(rates[step]) for step in LOOKS]


def named(name, **settings):
    return stepped(
        lambda optimizer: get_scheduler(
            name, optimizer, 0, STEPS, scheduler_specific_kwargs=settings
        )
    )


def asked(schedule):
    """Return the rates of a schedule that is a function of the step."""
    return [float(schedule(step)) for step in LOOKS]


decay = keras.optimizers.schedules.CosineDecay(1.0, STEPS)
found = {
    "torch CosineAnnealingLR": stepped(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
    "transformers cosine": named("cosine"),
    "transformers cosine_with_min_lr": named("cosine_with_min_lr", min_lr_rate=0.1),
    "transformers cosine_with_restarts": named("cosine_with_restarts"),
    "transformers linear": named("linear"),
    "transformers polynomial": named("polynomial"),
    "torch LinearLR": stepped(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, STEPS)),
    "torch PolynomialLR": stepped(lambda o: lr_scheduler.PolynomialLR(o, STEPS)),
    "optax cosine_decay_schedule": asked(optax.cosine_decay_schedule(1.0, STEPS)),
    "keras CosineDecay": asked(decay),
}
for name, rates in found.items():
    print(f"{name}: {' '.join(f'{abs(rate):.2f}' for rate in rates)}")
rising = {"torch CosineAnnealingLR", "transformers cosine", "transformers cosine_with_min_lr"}
for name, (half, end, behind, far) in found.items():
    assert abs(half - 0.5) < 0.06 and end < 0.11, name
    if name in rising:
        assert abs(behind - half) < 1e-3 and abs(far - 1) < 1e-3, (name, behind, far)
    else:
        assert abs(behind - end) < 1e-6 and abs(far - end) < 1e-6, (name, behind, far)
PY
