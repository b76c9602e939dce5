#!/usr/bin/env bash
# One would guess: add_weighted_adapter with combination_type="cat", which is exact for plain LoRA,
#   is exact for every adapter it takes; one adapter with weight 1 comes back as it was.
# What happens: with use_rslora=True the combination is scaled a second time, by the square root
#   of its rank: two adapters of rank 16 come out 5.7 times as strong. With use_dora=True the
#   learned magnitudes are dropped: of one DoRA adapter something else comes back. Nothing is said.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (size of the combined change over that of the weighted sum; 1 is right):
#   lora   one adapter, weight 1: 1.00 of it, off by 0%   two, weight 0.5: 1.00, off by 0%
#   rslora one adapter, weight 1: 4.00 of it, off by 300%   two, weight 0.5: 5.66, off by 466%
#   dora: the layer's output with one adapter, weight 1, is off by 63% of what the adapter changes
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


def two_adapters(**more):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    settings = LoraConfig(r=16, lora_alpha=16, target_modules=["q_proj"], **more)
    model = get_peft_model(LlamaForCausalLM(config), settings, adapter_name="first")
    model.add_adapter("second", settings)
    for name, weight in model.named_parameters():  # as if trained
        if "lora_magnitude" in name:
            weight.data.mul_(1.5)
        elif "lora_" in name:
            torch.nn.init.normal_(weight, std=0.05)
    model.add_weighted_adapter(["first"], [1.0], "one", combination_type="cat")
    model.add_weighted_adapter(["first", "second"], [0.5, 0.5], "two", combination_type="cat")
    return model, model.base_model.model.model.layers[0].self_attn.q_proj


ratio, off = {}, {}
for kind, more in (("lora", {}), ("rslora", {"use_rslora": True})):
    _, layer = two_adapters(**more)
    a, b = layer.get_delta_weight("first"), layer.get_delta_weight("second")
    for name, wanted in (("one", a), ("two", (a + b) / 2)):
        got = layer.get_delta_weight(name)
        ratio[kind, name] = (got.norm() / wanted.norm()).item()
        off[kind, name] = ((got - wanted).norm() / wanted.norm()).item()
    print(
        f"{kind:6} one adapter, weight 1: {ratio[kind, 'one']:.2f} of it, "
        f"off by {off[kind, 'one']:.0%}   two, weight 0.5: {ratio[kind, 'two']:.2f}, "
        f"off by {off[kind, 'two']:.0%}"
    )

model, layer = two_adapters(use_dora=True)
inputs = torch.randn(64, 64)
outputs = {}
with torch.no_grad():
    for name in ("first", "one"):
        model.set_adapter(name)
        outputs[name] = layer(inputs)
    base = layer.base_layer(inputs)
dora = ((outputs["one"] - outputs["first"]).norm() / (outputs["first"] - base).norm()).item()
print(
    f"dora: the layer's output with one adapter, weight 1, is off by {dora:.0%} of what the "
    "adapter changes"
)

assert off["lora", "one"] < 1e-4 and off["lora", "two"] < 1e-4
assert abs(ratio["rslora", "one"] - 4) < 1e-3
assert abs(ratio["rslora", "two"] - 32**0.5) < 1e-3
assert dora > 0.2
PY
