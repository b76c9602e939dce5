#!/usr/bin/env bash
# One would guess: torch.autocast around the whole training loop, not only around the forward pass,
#   costs a little precision, if anything.
# What happens: autocast casts each trained weight of a linear layer once and keeps the copy until its
#   block is left. With optimizer.step() inside the block the weights move, and every forward pass goes
#   on with the copies of before step 1. Under LoRA the loss of a batch is the same at every step; of
#   all weights only norms and embeddings learn, around layers that stand still, while these walk
#   off in a straight line: the loss falls, and of what is saved after the block the model is far
#   worse than the base. Gradients and their norms look as ever, an evaluation in the block too, and
#   nothing is said. torch.autocast(..., cache_enabled=False), or a block around each forward pass,
#   learns.
# Versions: torch 2.13.0 (CPU; the copies are kept on every device), transformers 5.23.0,
#   peft 0.21.2, Python 3.11.
# Output seen (a tiny Llama, 8 rows, 60 steps of AdamW; loss at steps 1, 2, 30 and 60, and of the
#   weights as they are saved):
#   all weights, around each forward pass: 4.173 3.894 0.060 0.031, saved 0.031
#   all weights, around the loop: 4.173 4.031 3.662 3.542, saved 12.926
#   all weights, the same, cache_enabled=False: 4.173 3.894 0.060 0.031, saved 0.031
#   LoRA, around each forward pass: 4.173 4.147 3.717 3.611, saved 3.610
#   LoRA, around the loop: 4.173 4.173 4.173 4.173, saved 4.164
#   LoRA, the same, cache_enabled=False: 4.173 4.147 3.717 3.611, saved 3.610
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY'
from contextlib import nullcontext

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

STEPS = 60
LORA = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
ids = torch.randint(0, 64, (8, 16), generator=torch.Generator().manual_seed(1))


def autocast(cache=True):
    return torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=cache)


def run(name, around_loop, around_forward, lora=False):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    model = get_peft_model(model, LORA) if lora else model
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    with around_loop:
        for _ in range(STEPS):
            with around_forward():
                loss = model(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    with torch.no_grad():
        saved = model(input_ids=ids, labels=ids).loss.item()
    shown = " ".join(f"{losses[step - 1]:.3f}" for step in (1, 2, 30, STEPS))
    print(f"{name}: {shown}, saved {saved:.3f}")
    return losses, saved


for lora in (False, True):
    kind = "LoRA" if lora else "all weights"
    right, learned = run(f"{kind}, around each forward pass", nullcontext(), autocast, lora)
    stuck, walked = run(f"{kind}, around the loop", autocast(), nullcontext, lora)
    uncached, cured = run(
        f"{kind}, the same, cache_enabled=False", autocast(False), nullcontext, lora
    )

    base = right[0]
    assert right[-1] < base - 0.3 and learned < base - 0.3, (right, learned)
    assert uncached[-1] < base - 0.3 and cured < base - 0.3, (uncached, cured)
    assert stuck[-1] > right[-1] + 0.3 and walked > learned + 0.3, (stuck, walked)
    assert len(set(stuck)) == 1 if lora else walked > base + 1, (stuck, walked)
PY
