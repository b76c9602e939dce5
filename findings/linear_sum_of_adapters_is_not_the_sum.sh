#!/usr/bin/env bash
# One would guess: add_weighted_adapter(["a", "b"], [0.5, 0.5], combination_type="linear") gives
#   half of what a does to the weights and half of what b does.
# What happens: the A matrices and the B matrices are added apart, so their product holds the
#   cross terms B_a A_b and B_b A_a, too. For two unrelated adapters that is an error as large as
#   the sum itself. With -1 nothing is subtracted properly either. "cat" is exact (its rank is the
#   sum of the ranks), "svd" cuts the sum to the rank and loses nearly half of it here.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (error relative to w_a * delta_a + w_b * delta_b, ranks 4):
#   linear [0.5, 0.5]: 101%   linear [1.0, -1.0]: 102%   linear [1.0, 0.0]: 0%
#   svd    [0.5, 0.5]: 44%    svd    [1.0, -1.0]: 46%    svd    [1.0, 0.0]: 0%
#   cat    [0.5, 0.5]: 0%     cat    [1.0, -1.0]: 0%     cat    [1.0, 0.0]: 0%
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
)
settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
model = get_peft_model(LlamaForCausalLM(config), settings, adapter_name="a")
model.add_adapter("b", settings)
for name, weight in model.named_parameters():  # as if trained
    if "lora_" in name:
        torch.nn.init.normal_(weight, std=0.1)
layer = model.base_model.model.model.layers[0].self_attn.q_proj
errors = {}
for kind in ("linear", "svd", "cat"):
    for index, weights in enumerate(([0.5, 0.5], [1.0, -1.0], [1.0, 0.0])):
        name = f"{kind}{index}"
        model.add_weighted_adapter(["a", "b"], weights, name, combination_type=kind)
        wanted = sum(
            share * layer.get_delta_weight(each)
            for share, each in zip(weights, ("a", "b"), strict=True)
        )
        off = (layer.get_delta_weight(name) - wanted).norm() / wanted.norm()
        errors[kind, index] = off.item()
        print(f"{kind:6} {weights}: {off.item():.0%}")

assert errors["linear", 0] > 0.7 and errors["linear", 1] > 0.7
assert errors["svd", 0] > 0.2 and errors["svd", 1] > 0.2
assert max(errors["cat", index] for index in range(3)) < 1e-4
assert max(errors["linear", 2], errors["svd", 2]) < 1e-4
PY
