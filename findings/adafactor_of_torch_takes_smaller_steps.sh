#!/usr/bin/env bash
# One would guess: torch.optim.Adafactor at lr=1e-3 takes the steps that optim="adafactor" of the
#   Trainer (transformers' Adafactor) takes at 1e-3: the same paper, the same rate.
# What happens: torch multiplies the rate by the size of each weight matrix (the root of its mean
#   square, at least 1e-3), as the paper does; transformers' has scale_parameter for this, which the
#   Trainer turns off. Weights of a language model are about 0.02, so torch's steps are a fiftieth:
#   at 1e-3 weights move by 2e-5 a step, by as much as AdamW at 2e-5. The other way round, torch's
#   own default of 1e-2, given to the Trainer's, is fifty times too high. The learning rate in the
#   log is the same for both. A matrix that starts at 0 (LoRA's B) moves by 1e-3 of the rate.
# Versions: torch 2.13.0, transformers 5.23.0, Python 3.11.
# Output seen (weights of size 0.02, rate 1e-3: a weight's root mean square change at steps 1 and 20):
#   AdamW: 0.001 0.0005, loss after 20 steps 2.46
#   Adafactor of transformers, as the Trainer makes it: 0.001 0.0003, loss after 20 steps 2.18
#   Adafactor of transformers, scale_parameter: 2e-05 2e-05, loss after 20 steps 4.10
#   Adafactor of torch: 2e-05 2e-05, loss after 20 steps 4.10
#   Adafactor of torch, a matrix of zeros: 1e-06
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from transformers.optimization import Adafactor

RATE, WORDS, SIZE = 1e-3, 64, 64


def moved(make):
    """The change of a weight at the first and the last of 20 steps; the loss after them."""
    torch.manual_seed(0)
    embedding, hidden, head = (
        torch.nn.Parameter(0.02 * torch.randn(*shape))
        for shape in ((WORDS, SIZE), (SIZE, SIZE), (SIZE, WORDS))
    )
    optimizer = make([embedding, hidden, head])
    assert {group["lr"] for group in optimizer.param_groups} == {RATE}
    words, steps = torch.arange(WORDS), []
    for _ in range(20):
        inner = torch.nn.functional.rms_norm(embedding[words] @ hidden, (SIZE,))
        loss = torch.nn.functional.cross_entropy(inner @ head, (words + 1) % WORDS)
        loss.backward()
        before = hidden.detach().clone()
        optimizer.step()
        optimizer.zero_grad()
        steps.append((hidden - before).square().mean().sqrt().item())
    return steps[0], steps[-1], loss.item()


seen = {
    "AdamW": moved(lambda weights: torch.optim.AdamW(weights, lr=RATE)),
    "Adafactor of transformers, as the Trainer makes it": moved(
        lambda weights: Adafactor(weights, lr=RATE, scale_parameter=False, relative_step=False)
    ),
    "Adafactor of transformers, scale_parameter": moved(
        lambda weights: Adafactor(weights, lr=RATE, scale_parameter=True, relative_step=False)
    ),
    "Adafactor of torch": moved(lambda weights: torch.optim.Adafactor(weights, lr=RATE)),
}
for name, (first, last, loss) in seen.items():
    print(f"{name}: {first:.1g} {last:.1g}, loss after 20 steps {loss:.2f}")
zeros = torch.nn.Parameter(torch.zeros(8, 64))
zeros.grad = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
torch.optim.Adafactor([zeros], lr=RATE).step()
by = zeros.detach().square().mean().sqrt().item()
print(f"Adafactor of torch, a matrix of zeros: {by:.1g}")

adam, trainers, scaled, torchs = seen.values()
assert 0.8e-3 < adam[0] < 1.2e-3 and 0.8e-3 < trainers[0] < 1.2e-3
for first, last, _ in (scaled, torchs):
    assert 1e-5 < first < 3e-5 and 1e-5 < last < 3e-5
assert torchs[2] > trainers[2] + 0.5
assert 0.5e-6 < by < 2e-6
PY
