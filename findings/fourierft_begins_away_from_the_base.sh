#!/usr/bin/env bash
# One would guess: get_peft_model(base, FourierFTConfig(...)) is the base until it is trained, as with
#   LoRA: an adapter begins at no change.
# What happens: its spectrum is drawn from a normal distribution (init_weights=False is the default; the
#   word means no such thing in the configs of other kinds) and scaled by 150: step 1 starts from the
#   base with noise on every adapted weight. The noise falls with the number of weights in a matrix, for
#   the same n_frequency: at a width of 4,096 it is nothing, at 768 a quarter of the weights, at 256
#   more than they are. What a small model knew is gone before step 1, and disable_adapter() is the
#   base, so that a comparison with it looks like forgetting. init_weights=True begins at the base.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (noise on weights of size 0.02, by width; a tiny Llama that knows 8 rows, before step 1):
#   width 256: 254%, width 768: 27%, width 4096: 1%
#   LoRA: loss 0.03, with a new adapter 0.03, off 0.03
#   FourierFT: loss 0.03, with a new adapter 3.49, off 0.03
#   FourierFT, init_weights=True: loss 0.03, with a new adapter 0.03, off 0.03
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import copy

import torch
from peft import FourierFTConfig, LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

TARGETS = ["q_proj", "v_proj"]
ids = torch.randint(0, 64, (8, 16), generator=torch.Generator().manual_seed(1))


def noise(width):
    """Return the size of what a new adapter adds to a weight, in parts of 0.02."""
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(width, width, bias=False))
    model = get_peft_model(layer, FourierFTConfig(target_modules=["0"]))
    added = model.base_model.model[0].get_delta_weight("default")
    return added.pow(2).mean().sqrt().item() / 0.02


sizes = {width: noise(width) for width in (256, 768, 4096)}
print(", ".join(f"width {width}: {size:.0%}" for width, size in sizes.items()), flush=True)
assert sizes[256] > 1 > sizes[768] > 0.2 > 0.05 > sizes[4096]


def loss(model):
    return model(input_ids=ids, labels=ids).loss


torch.manual_seed(0)
base = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
)
optimizer = torch.optim.AdamW(base.parameters(), lr=3e-3)
for _ in range(60):
    optimizer.zero_grad()
    loss(base).backward()
    optimizer.step()
base.eval()
kinds = {
    "LoRA": LoraConfig(target_modules=TARGETS),
    "FourierFT": FourierFTConfig(target_modules=TARGETS),
    "FourierFT, init_weights=True": FourierFTConfig(target_modules=TARGETS, init_weights=True),
}
before, after, off = loss(base).item(), {}, {}
with torch.no_grad():
    for name, config in kinds.items():
        torch.manual_seed(0)
        model = get_peft_model(copy.deepcopy(base), config).eval()
        after[name] = loss(model).item()
        with model.disable_adapter():
            off[name] = loss(model).item()
        print(
            f"{name}: loss {before:.2f}, with a new adapter {after[name]:.2f}, off {off[name]:.2f}"
        )
assert before < 0.3
assert all(abs(value - before) < 1e-5 for value in off.values())
for name, value in after.items():
    away = value - before
    assert away > 1 if name == "FourierFT" else abs(away) < 1e-5, (name, value)
PY
