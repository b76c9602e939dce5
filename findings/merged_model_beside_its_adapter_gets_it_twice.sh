#!/usr/bin/env bash
# One would guess: a folder with a whole model's config.json and model.safetensors loads as that
#   model; an adapter's files that lie beside it are at most another way to the same weights.
# What happens: AutoModelForCausalLM.from_pretrained loads the whole weights and puts the adapter
#   upon them. A merged model saved into its adapter's own folder has the adapter twice; a full
#   fine-tune saved where an older adapter lies has the old adapter added. Nothing is said.
# Versions: transformers 5.23.0, peft 0.21.2, torch 2.13.0, Python 3.11.
# Output seen (the largest difference between the loaded weights and those that were saved, as a
#   part of what the adapter changes):
#   merged, in a folder of its own: 0.00
#   merged, in the adapter's folder: 1.00
#   full fine-tune, in an old adapter's folder: 1.00
#   warnings that name an adapter: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


for name in ("transformers", "peft"):
    logging.getLogger(name).addHandler(Ear())
transformers.utils.logging.disable_progress_bar()
torch.manual_seed(0)
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
).save_pretrained("base")
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained("base"), LoraConfig(r=4, target_modules=["q_proj"])
)
for name, weight in model.named_parameters():  # as if trained
    if "lora_" in name:
        torch.nn.init.normal_(weight, std=0.1)
delta = model.base_model.model.model.layers[0].self_attn.q_proj.get_delta_weight("default")
for folder in ("adapter", "older"):
    model.save_pretrained(folder)


def weight_of(model):
    """What the query projection does, its adapter included."""
    with torch.no_grad():
        return model.model.layers[0].self_attn.q_proj(torch.eye(32)).T


merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("base"), "adapter")
merged = merged.merge_and_unload()
full = AutoModelForCausalLM.from_pretrained("base")
for weight in full.parameters():
    weight.data.add_(0.01)
off = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for text, saved, folder in (
        ("merged, in a folder of its own", merged, "merged"),
        ("merged, in the adapter's folder", merged, "adapter"),
        ("full fine-tune, in an old adapter's folder", full, "older"),
    ):
        saved.save_pretrained(folder)
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        apart = weight_of(loaded) - weight_of(saved)
        off[text] = (apart.abs().max() / delta.abs().max()).item()
        print(f"{text}: {off[text]:.2f}")
said.extend(str(each.message) for each in caught)
told = [text for text in said if "adapter" in text.lower()]
print("warnings that name an adapter:", len(told))

alone, twice, older = off.values()
assert alone < 1e-4
assert abs(twice - 1) < 1e-3 and abs(older - 1) < 1e-3
assert not told, told
PY
