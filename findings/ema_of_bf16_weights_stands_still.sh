#!/usr/bin/env bash
# One would guess: the moving average of a model's weights (decay 0.999) follows the model, a
#   thousand steps behind; in bfloat16 with a little noise.
# What happens: the average is kept in the dtype of the weights, and a thousandth of the way is
#   less than half a step of bfloat16 unless the way is about as long as the weight itself: it is
#   rounded away, step after step. Fine-tuning moves weights by a few per cent: the average that
#   is evaluated and saved is the model before training. torch's AveragedModel (which Lightning's
#   EMAWeightAveraging is made of) and ema-pytorch alike; nothing is said. Made of a float32 copy,
#   and updated from one, it follows.
# Versions: torch 2.13.0, ema-pytorch 0.8.3, Python 3.11.
# Output seen (weights of size 0.02 moved by 5 % of it, then 5,000 updates of the average: how
#   much of the way it went, and which part of the weights never moved):
#   AveragedModel, float32: 99%, never moved 0%
#   AveragedModel, bfloat16: 1%, never moved 98%
#   ema-pytorch, bfloat16: 1%, never moved 98%
#   AveragedModel of float32 copies, bfloat16 model: 99%, never moved 0%
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 ema-pytorch==0.8.3
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY'
import copy

import torch
from ema_pytorch import EMA
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DECAY, UPDATES = 0.999, 5000


def of_torch(model):
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))


def of_copies(model):
    average = of_torch(copy.deepcopy(model).float())
    update = average.update_parameters
    average.update_parameters = lambda model: update(copy.deepcopy(model).float())
    return average


def of_ema_pytorch(model):
    return EMA(model, beta=DECAY, update_after_step=0, update_every=1, power=10)


def run(name, make, dtype):
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 64, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.copy_(0.02 * torch.randn(64, 64))
    average = make(model)
    takes_model = isinstance(average, AveragedModel)
    update = (lambda: average.update_parameters(model)) if takes_model else average.update
    update()
    inner = average.module if takes_model else average.ema_model
    before, start = inner.weight.detach().clone().float(), model.weight.detach().clone().float()
    with torch.no_grad():
        model.weight.add_((0.001 * torch.randn(64, 64)).to(dtype))
    for _ in range(UPDATES):
        update()
    way = model.weight.detach().float() - start
    went = inner.weight.detach().float() - before
    share = ((went * way).sum() / (way * way).sum()).item()
    still = (went == 0)[way != 0].float().mean().item()
    print(f"{name}: {share:.0%}, never moved {still:.0%}")
    return share, still


full = run("AveragedModel, float32", of_torch, torch.float32)
half = run("AveragedModel, bfloat16", of_torch, torch.bfloat16)
other = run("ema-pytorch, bfloat16", of_ema_pytorch, torch.bfloat16)
copied = run("AveragedModel of float32 copies, bfloat16 model", of_copies, torch.bfloat16)
assert all(share < 0.1 and still > 0.9 for share, still in (half, other)), (half, other)
assert all(share > 0.95 and still < 0.01 for share, still in (full, copied)), (full, copied)
PY
