#!/usr/bin/env bash
# One would guess: disable_adapter() shows the model as it was before the adapter came, whatever
#   the adapter's initialisation; so it is the reference for "what did training change?".
# What happens: PiSSA and OLoRA move a part of each weight into the adapter and subtract it from
#   the base. Before the first step the model with the adapter equals the base, the model without
#   it does not: its logits are off by about half of the largest logit. No warning is given at
#   disable_adapter(). (lora_B = 0, "gaussian" and "orthogonal" keep the base as it was.)
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (largest difference of a logit to the base model's; the largest logit is 0.351):
#   True        adapter on 0.000  off 0.000
#   gaussian    adapter on 0.000  off 0.000
#   orthogonal  adapter on 0.000  off 0.000
#   pissa       adapter on 0.000  off 0.148
#   olora       adapter on 0.000  off 0.220
#   warnings at disable_adapter(): 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import warnings

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

ids = torch.randint(3, 64, (2, 12), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def logits(model):
    return model(input_ids=ids).logits


def fresh():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


base = logits(fresh())
scale = base.abs().max().item()
print(f"largest logit of the base {scale:.3f}")
seen = {}
told = 0
for initial in (True, "gaussian", "orthogonal", "pissa", "olora"):
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=initial)
    model = get_peft_model(fresh(), settings).eval()
    on = (logits(model) - base).abs().max().item()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with model.disable_adapter():
            off = (logits(model) - base).abs().max().item()
    told += len(caught)
    seen[initial] = on, off
    print(f"{initial!s:11} adapter on {on:.3f}  off {off:.3f}")
print("warnings at disable_adapter():", told)

assert all(on < 1e-4 for on, _ in seen.values())
assert all(seen[each][1] < 1e-4 for each in (True, "gaussian", "orthogonal"))
assert all(seen[each][1] > 0.2 * scale for each in ("pissa", "olora"))
assert told == 0
PY
