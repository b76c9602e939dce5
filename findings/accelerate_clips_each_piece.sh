#!/usr/bin/env bash
# One would guess: within accelerator.accumulate(model), clip_grad_norm_ waits for the last piece of a step,
#   as optimizer.step() and zero_grad() of the prepared optimizer do, which pass over the pieces before.
# What happens: it clips what has been added up so far, at each piece: the first pieces are shrunk again and
#   again. Where gradients are above the limit, a step of 8 pieces is nearly that of its last one: the
#   effective batch is a piece, and the gradient norm that is returned is that of no step. Nothing is said.
#   `if accelerator.sync_gradients:` before it, as in accelerate's examples, clips the sum.
# Versions: accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (8 pieces, each with a gradient along an axis of its own; the parts of the 8 pieces in the step,
#   in percent):
#   gradients of 10 a piece, each time: 0 0 0 0 0 1 9 90; norm 10.05
#   gradients of 10 a piece, if sync_gradients: 13 13 13 13 13 13 13 13; norm 28.28
#   gradients of 1 a piece, each time: 4 4 5 8 11 15 22 31; norm 1.41
#   gradients of 1 a piece, if sync_gradients: 12 12 12 12 12 12 12 12; norm 2.83
#   gradients of 0.1 a piece, each time: 12 12 12 12 12 12 12 12; norm 0.28
#   gradients of 0.1 a piece, if sync_gradients: 12 12 12 12 12 12 12 12; norm 0.28
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from accelerate import Accelerator

PIECES = 8


def parts(size, checked, limit=1.0):
    """Return the part of each piece in the step, and the norms that were returned."""
    accelerator = Accelerator(gradient_accumulation_steps=PIECES, cpu=True)
    model = torch.nn.Linear(PIECES, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model, optimizer = accelerator.prepare(model, optimizer)
    norms = []
    for piece in range(PIECES):
        with accelerator.accumulate(model):
            row = torch.zeros(1, PIECES)
            row[0, piece] = size
            accelerator.backward(model(row).sum())
            if not checked or accelerator.sync_gradients:
                norms.append(float(accelerator.clip_grad_norm_(model.parameters(), limit)))
            optimizer.step()
            optimizer.zero_grad()
    step = model.weight.detach().flatten().abs()
    return (step / step.sum()).tolist(), norms


found = {}
for size in (80.0, 8.0, 0.8):
    for checked in (False, True):
        found[size, checked], norms = parts(size, checked)
        text = " ".join(f"{100 * part:.0f}" for part in found[size, checked])
        how = "if sync_gradients" if checked else "each time"
        print(
            f"gradients of {size / PIECES:g} a piece, {how}: {text}; norm {norms[-1]:.2f}",
            flush=True,
        )
for (size, checked), shares in found.items():
    equal = max(shares) - min(shares) < 1e-3
    assert equal == (checked or size < 1), (size, checked, shares)
assert found[80.0, False][-1] > 0.85 and found[8.0, False][-1] > 0.25, found
PY
