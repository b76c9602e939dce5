#!/usr/bin/env bash
# One would guess: AdamW on bfloat16 weights (as transformers 5 loads them) is the AdamW of
#   float32 with some noise: what one large gradient did to the second moment is forgotten after
#   some thousand steps, as beta2 = 0.999 says.
# What happens: the second moment is bfloat16, too, and 0.999 of a bfloat16 number rounds to that
#   number: it can rise, and never falls. After ten gradients of a hundred times the usual size
#   the steps are a tenth of what they should be, for the rest of the run; where gradients shrink
#   as the model learns, the steps shrink with them. No loss, norm or rate in the log shows it.
#   adam_beta2=0.99 or 0.95 decays again, and so does 0.999 with float32 weights and autocast.
# Versions: torch 2.13.0 (CPU; for-loop, foreach and fused alike), Python 3.11.
# Output seen (10 gradients of 10, then 5,000 of 0.1: steps in parts of the rate, after 100, 1000,
#   5000):
#   float32,  beta2 0.999: 0.03 0.13 0.77; second moment fell by 98%
#   bfloat16, beta2 0.999: 0.03 0.08 0.10; second moment fell by 0%
#   bfloat16, beta2 0.999, foreach: 0.03 0.08 0.10; second moment fell by 0%
#   bfloat16, beta2 0.999, fused: 0.03 0.08 0.10; second moment fell by 0%
#   bfloat16, beta2 0.99: 0.04 0.76 0.76; second moment fell by 100%
#   bfloat16, beta2 0.95: 0.21 1.01 1.01; second moment fell by 100%
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY'
import torch

RATE, SHOWN = 1e-3, (100, 1000, 5000)


def run(dtype, beta2, **how):
    weight = torch.nn.Parameter(torch.zeros(8, dtype=dtype))
    optimizer = torch.optim.AdamW([weight], lr=RATE, betas=(0.9, beta2), weight_decay=0, **how)
    steps, moments = [], []
    for size in [10.0] * 10 + [0.1] * SHOWN[-1]:
        weight.data.zero_()  # from 0 each time: what is left of it is the step
        weight.grad = torch.full_like(weight, size)
        optimizer.step()
        steps.append(-weight[0].item() / RATE)
        moments.append(optimizer.state[weight]["exp_avg_sq"][0].item())
    fell = 1 - moments[-1] / moments[9]
    name = f"{str(dtype)[6:] + ',':9} beta2 {beta2}" + "".join(f", {each}" for each in how)
    shown = " ".join(f"{steps[9 + step]:.2f}" for step in SHOWN)
    print(f"{name}: {shown}; second moment fell by {fell:.0%}")
    return steps[-1], fell


full = run(torch.float32, 0.999)
stuck = [run(torch.bfloat16, 0.999, **how) for how in ({}, {"foreach": True}, {"fused": True})]
free = [run(torch.bfloat16, beta2) for beta2 in (0.99, 0.95)]

assert full[1] > 0.9
assert full[0] > 5 * max(step for step, _ in stuck)
assert all(fell == 0 for _, fell in stuck), stuck
assert all(step > 0.7 and fell > 0.99 for step, fell in free), free
PY
