#!/usr/bin/env bash
# One would guess: CosineAnnealingLR(optimizer, T_max=100, last_epoch=69), with the "initial_lr" that
#   it asks for in the optimizer's groups, goes on where a run of 70 steps was; and so does a
#   scheduler whose state_dict is loaded beside a new optimizer.
# What happens: most of torch's schedules make the next rate out of the one that is in the optimizer,
#   by the factor between two steps. A new optimizer holds the full rate: the schedule goes down from
#   there. Of a cosine the last 30 of 100 steps are taken at five times their rate, of a StepLR at a
#   hundred times; a LinearLR from 1 to 0 is at 0.97 where it was at 0.30. Neither says anything.
#   LambdaLR and OneCycleLR go by the step, and so do all schedules of transformers, which are
#   LambdaLRs. Loading the optimizer's state_dict as well, which holds the rate, cures the second way.
# Versions: torch 2.13.0, Python 3.11.
# Output seen (base rate 1; the rates of steps 71, 81 and 91 of the whole run, made with last_epoch=69,
#   and with the state_dict of step 70):
#   CosineAnnealingLR: 0.206 0.095 0.024, last_epoch 1.000 0.463 0.119, state_dict 0.941 0.436 0.112
#   LinearLR: 0.300 0.200 0.100, last_epoch 1.000 0.667 0.333, state_dict 0.968 0.645 0.323
#   PolynomialLR: 0.300 0.200 0.100, last_epoch 1.000 0.667 0.333, state_dict 0.968 0.645 0.323
#   ExponentialLR: 0.119 0.087 0.064, last_epoch 1.000 0.737 0.544, state_dict 0.970 0.715 0.527
#   StepLR: 0.010 0.010 0.001, last_epoch 1.000 1.000 0.100, state_dict 1.000 1.000 0.100
#   MultiStepLR: 0.010 0.010 0.010, last_epoch 1.000 1.000 1.000, state_dict 1.000 1.000 1.000
#   LambdaLR: 0.300 0.200 0.100, last_epoch 0.300 0.200 0.100, state_dict 0.300 0.200 0.100
#   OneCycleLR: 0.367 0.171 0.040, last_epoch 0.367 0.171 0.040, state_dict 0.367 0.171 0.040
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torch.optim import lr_scheduler

STEPS, DONE = 100, 70
KINDS = {
    "CosineAnnealingLR": {"T_max": STEPS},
    "LinearLR": {"start_factor": 1.0, "end_factor": 0.0, "total_iters": STEPS},
    "PolynomialLR": {"total_iters": STEPS},
    "ExponentialLR": {"gamma": 0.97},
    "StepLR": {"step_size": 30},
    "MultiStepLR": {"milestones": [30, 60]},
    "LambdaLR": {"lr_lambda": lambda step: 1 - step / STEPS},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": STEPS},
}
BY_STEP = {"LambdaLR", "OneCycleLR"}


def new(kind, last_epoch=-1):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=1.0)
    if last_epoch >= 0:  # what the constructor asks for
        first = {"initial_lr": 1.0}
        if kind == "OneCycleLR":
            first = {"initial_lr": 0.04, "max_lr": 1.0, "min_lr": 4e-6}
            first |= {"base_momentum": 0.85, "max_momentum": 0.95}
        optimizer.param_groups[0].update(first)
    made = getattr(lr_scheduler, kind)(optimizer, last_epoch=last_epoch, **KINDS[kind])
    return optimizer, made


def step(optimizer, schedule):
    optimizer.step()
    schedule.step()


def rates(optimizer, schedule, steps):
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        step(optimizer, schedule)
    return seen


def shown(seen):
    return " ".join(f"{seen[at]:.3f}" for at in (0, 10, 20))


for kind in KINDS:
    optimizer, schedule = new(kind)
    rates(optimizer, schedule, DONE - 1)
    kept = schedule.state_dict()
    step(optimizer, schedule)
    whole = rates(optimizer, schedule, STEPS - DONE)

    by_number = rates(*new(kind, last_epoch=DONE - 1), STEPS - DONE)

    optimizer, schedule = new(kind)
    schedule.load_state_dict(kept)
    step(optimizer, schedule)
    by_state = rates(optimizer, schedule, STEPS - DONE)

    print(f"{kind}: {shown(whole)}, last_epoch {shown(by_number)}, state_dict {shown(by_state)}")
    for resumed in (by_number, by_state):
        if kind in BY_STEP:
            assert all(abs(a - b) < 1e-6 for a, b in zip(resumed, whole, strict=True)), kind
        else:
            assert all(a > 3 * b for a, b in zip(resumed, whole, strict=True)), kind
PY
