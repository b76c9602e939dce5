#!/usr/bin/env bash
# One would guess: "warmup_num_steps": 100 of a DeepSpeed configuration warms the learning rate up
#   as transformers does: evenly, a tenth of the rate after ten steps.
# What happens: the default warmup_type of WarmupLR, WarmupDecayLR and WarmupCosineLR is "log": half
#   of the rate is there after 10 of 100 steps, three quarters after 32 (after step n of N it is
#   log n / log N). A warm-up twice as long takes a seventh off there, not a half: the steps that
#   it should protect are taken at nearly full rate. "warmup_type": "linear" is even.
# Versions: deepspeed 0.19.8, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (warm-up of 100 steps of 1,000, parts of the rate after steps 1, 10, 32 and 100):
#   WarmupLR: 0.00 0.50 0.75 1.00
#   WarmupDecayLR: 0.00 0.50 0.75 1.00
#   WarmupCosineLR: 0.00 0.50 0.75 1.00
#   WarmupDecayLR, warmup_type linear: 0.00 0.09 0.31 0.99
#   transformers, linear: 0.01 0.10 0.32 1.00
#   after 10 steps with warm-ups of 100, 200 and 400 steps: 0.50 0.43 0.38
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 DS_ACCELERATOR=cpu DS_BUILD_OPS=0
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 setuptools wheel
"$work/venv/bin/pip" install -q --no-compile --no-build-isolation deepspeed==0.19.8
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import contextlib
import io

import torch

with contextlib.redirect_stdout(io.StringIO()):
    from deepspeed.runtime import lr_schedules
from transformers import get_scheduler

STEPS, SHOWN = 1_000, (1, 10, 32, 100)


def rates(make):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with contextlib.redirect_stdout(io.StringIO()):
        schedule = make(optimizer)
        seen = {}
        for step in range(1, max(SHOWN) + 1):
            optimizer.step()
            schedule.step()
            seen[step] = schedule.get_last_lr()[0]
    return seen


def deepspeed(kind, warmup=100, **settings):
    if kind != "WarmupCosineLR":
        settings |= {"warmup_min_lr": 0.0, "warmup_max_lr": 1.0}
    if kind != "WarmupLR":
        settings["total_num_steps"] = STEPS
    made = getattr(lr_schedules, kind)
    return rates(lambda optimizer: made(optimizer, warmup_num_steps=warmup, **settings))


kinds = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
seen = {kind: deepspeed(kind) for kind in kinds}
seen["WarmupDecayLR, warmup_type linear"] = deepspeed("WarmupDecayLR", warmup_type="linear")
seen["transformers, linear"] = rates(lambda optimizer: get_scheduler("linear", optimizer, 100, STEPS))
for name, each in seen.items():
    print(f"{name}:", *(f"{each[step]:.2f}" for step in SHOWN))
longer = [deepspeed("WarmupDecayLR", warmup)[10] for warmup in (100, 200, 400)]
print("after 10 steps with warm-ups of 100, 200 and 400 steps:", *(f"{x:.2f}" for x in longer))

for kind in kinds:
    assert 0.45 < seen[kind][10] < 0.55 and 0.7 < seen[kind][32] < 0.8, kind
    assert seen[kind][100] > 0.99, kind
for name in ("WarmupDecayLR, warmup_type linear", "transformers, linear"):
    assert seen[name][10] < 0.12 and seen[name][100] > 0.98, name
assert longer[1] > 0.8 * longer[0] and longer[2] > 0.7 * longer[0]
PY
