#!/usr/bin/env bash
# One would guess: OneCycleLR is a schedule of the learning rate; the betas that were given to AdamW are
#   those of the run.
# What happens: it sets beta1, too (momentum of SGD; cycle_momentum is on unless it is turned off): to 0.95 as
#   soon as it is made, down to 0.85 while the rate climbs, and back. The beta1 that was given is used at
#   no step, plain SGD gets a momentum; optimizer.defaults and the arguments of the run show what was
#   given. beta2 is kept. cycle_momentum=False leaves all of it alone.
# Versions: torch 2.13.0, Python 3.11.
# Output seen (100 steps; the smallest and the largest beta1 or momentum of the steps, and the one that
#   optimizer.defaults names):
#   AdamW, beta1 0.9: 0.85 to 0.95, defaults 0.9
#   AdamW, beta1 0.8: 0.85 to 0.95, defaults 0.8
#   SGD, momentum 0: 0.85 to 0.95, defaults 0.0
#   AdamW, beta1 0.8, off: 0.80 to 0.80, defaults 0.8
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from torch.optim.lr_scheduler import OneCycleLR


def used(kind, settings, **more):
    """Return the smallest and the largest beta1, or momentum, of the steps, and the defaults'."""
    optimizer = kind([torch.nn.Parameter(torch.zeros(2, 2))], lr=1e-3, **settings)
    scheduler = OneCycleLR(optimizer, max_lr=1e-3, total_steps=101, **more)
    group, betas = optimizer.param_groups[0], "betas" in settings
    seen = []
    for _ in range(100):
        seen.append(group["betas"][0] if betas else group["momentum"])
        assert not betas or group["betas"][1] == settings["betas"][1]
        optimizer.step()
        scheduler.step()
    default = optimizer.defaults["betas"][0] if betas else optimizer.defaults["momentum"]
    return round(min(seen), 2), round(max(seen), 2), default


found = {
    "AdamW, beta1 0.9": used(torch.optim.AdamW, {"betas": (0.9, 0.98)}),
    "AdamW, beta1 0.8": used(torch.optim.AdamW, {"betas": (0.8, 0.98)}),
    "SGD, momentum 0": used(torch.optim.SGD, {"momentum": 0.0}),
    "AdamW, beta1 0.8, off": used(torch.optim.AdamW, {"betas": (0.8, 0.98)}, cycle_momentum=False),
}
for name, (least, most, default) in found.items():
    print(f"{name}: {least:.2f} to {most:.2f}, defaults {default}")
assert found == {
    "AdamW, beta1 0.9": (0.85, 0.95, 0.9),
    "AdamW, beta1 0.8": (0.85, 0.95, 0.8),
    "SGD, momentum 0": (0.85, 0.95, 0.0),
    "AdamW, beta1 0.8, off": (0.8, 0.8, 0.8),
}, found
PY
