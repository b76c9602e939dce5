#!/usr/bin/env bash
# One would guess: mlx.optimizers.Adam and AdamW take the steps of the paper and of other frameworks:
#   at most about the learning rate, from the first step on. A rate carries over.
# What happens: bias_correction is False unless it is asked for. The second moment starts at 0 and is
#   slower than the first: the steps are 3.2 times the rate at step 1, 6.6 times at step 11, twice
#   at step 300. mlx_lm.lora makes its optimizers so, without a warm-up: a rate that trains well
#   elsewhere is six times as high where a run is most easily ruined. Give bias_correction=True
#   (in mlx_lm's file: optimizer_config: {adam: {bias_correction: true}}), or warm up.
# Versions: mlx 0.32.4 (CPU), mlx-lm 0.32.2, torch 2.13.0, Python 3.11.
# Output seen (steps in parts of the rate, gradients of 1, steps 1, 5, 11, 20, 100, 300, 1000):
#   torch AdamW:               1.00 1.00 1.00 1.00 1.00 1.00 1.00
#   mlx Adam:                  3.16 5.80 6.56 6.24 3.24 1.96 1.26
#   mlx AdamW:                 3.16 5.80 6.56 6.24 3.24 1.96 1.26
#   mlx AdamW, bias_correction 1.00 1.00 1.00 1.00 1.00 1.00 1.00
#   mlx_lm's defaults: optimizer adam, its settings {}, lr_schedule None
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 MLX_DISABLE_COMPILE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile "mlx[cpu]==0.32.4" "mlx-lm[train]==0.32.2" \
    torch==2.13.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import mlx.core as mx
import mlx.optimizers as optim
import torch
from mlx_lm.lora import CONFIG_DEFAULTS

RATE, SHOWN = 1e-3, (1, 5, 11, 20, 100, 300, 1000)
mx.set_default_device(mx.cpu)


def of_mlx(optimizer):
    steps = []
    for _ in range(SHOWN[-1]):
        weights = {"w": mx.zeros(1)}  # from 0 each time: what is left of it is the step
        weights = optimizer.apply_gradients({"w": mx.ones(1)}, weights)
        steps.append(-weights["w"].item() / RATE)
    return steps


def of_torch():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=RATE)
    steps = []
    for _ in range(SHOWN[-1]):
        weight.data.zero_()
        weight.grad = torch.ones(1)
        optimizer.step()
        steps.append(-weight.item() / RATE)
    return steps


seen = {
    "torch AdamW:": of_torch(),
    "mlx Adam:": of_mlx(optim.Adam(RATE)),
    "mlx AdamW:": of_mlx(optim.AdamW(RATE)),
    "mlx AdamW, bias_correction": of_mlx(optim.AdamW(RATE, bias_correction=True)),
}
for name, steps in seen.items():
    print(f"{name:26} " + " ".join(f"{steps[step - 1]:.2f}" for step in SHOWN))
name = CONFIG_DEFAULTS["optimizer"]
settings, schedule = CONFIG_DEFAULTS["optimizer_config"][name], CONFIG_DEFAULTS["lr_schedule"]
print(f"mlx_lm's defaults: optimizer {name}, its settings {settings}, lr_schedule {schedule}")

torchs, adam, adamw, corrected = seen.values()
assert all(abs(step - 1) < 0.01 for step in torchs + corrected)
for steps in (adam, adamw):
    assert abs(steps[0] - 3.16) < 0.02 and max(steps) > 6.5 and steps[-1] > 1.2, steps[:12]
assert name == "adam" and settings == {} and schedule is None
PY
