#!/usr/bin/env bash
# One would guess: lr_scheduler_type="cosine_with_restarts" restarts, and "inverse_sqrt" falls as
#   1/sqrt(step).
# What happens: without lr_scheduler_kwargs {"num_cycles": N} the first has one cycle: it is
#   "cosine" to the last digit, with no restart. The second takes its time scale from the warm-up;
#   without warm-up it is 10,000 steps, so over a run of 1,000 steps the rate falls by 5 % (with
#   100 steps of warm-up by 68 %). "polynomial" is linear to 1e-7, not to 0.
# Versions: transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (base rate 1.0, 1,000 steps):
#   cosine_with_restarts: largest difference to cosine 0.0
#   ... with num_cycles 4: restarts at steps [250, 500, 750]
#   inverse_sqrt without warm-up: 0.953 at the end; with 100 steps of it: 0.316
#   polynomial: largest difference to linear 1.0e-07, last 1.0e-07
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from transformers import get_scheduler

STEPS = 1_000


def rates(name, warmup=0, **more):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS, **more
    )
    used = []
    for _ in range(STEPS + 1):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def apart(left, right):
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


cosine = rates("cosine")
one = apart(rates("cosine_with_restarts"), cosine)
four = rates("cosine_with_restarts", scheduler_specific_kwargs={"num_cycles": 4})
jumps = [step for step in range(1, STEPS) if four[step] > four[step - 1] + 0.5]
bare, warm = rates("inverse_sqrt")[-1], rates("inverse_sqrt", warmup=100)[-1]
polynomial = rates("polynomial")
linear = apart(polynomial, rates("linear"))
print("cosine_with_restarts: largest difference to cosine", one)
print("... with num_cycles 4: restarts at steps", jumps)
print(f"inverse_sqrt without warm-up: {bare:.3f} at the end; with 100 steps of it: {warm:.3f}")
print(f"polynomial: largest difference to linear {linear:.1e}, last {polynomial[-1]:.1e}")

assert one == 0.0
assert jumps == [250, 500, 750]
assert 0.95 < bare < 0.96 and 0.31 < warm < 0.32
assert linear < 1.1e-7 and abs(polynomial[-1] - 1e-7) < 1e-12
PY
