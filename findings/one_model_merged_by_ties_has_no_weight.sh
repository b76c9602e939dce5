#!/usr/bin/env bash
# One would guess: weight: 0.3 of a model in a mergekit recipe takes 0.3 of what it was fine-tuned by, with
#   every method that merges differences to a base.
# What happens: task_arithmetic and the dare methods do. ties divides by the sum of the weights that agree
#   (normalize: true is its default, and only its): of one model all of the difference is taken whatever
#   its weight, so that a recipe to soften a fine-tune by 0.3 returns the fine-tune. Of two models with
#   0.3 each, every number where the other was trimmed or outvoted is taken whole. normalize: false gives
#   0.3.
# Versions: mergekit 0.1.5, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (a tiny Llama and a fine-tune of it, density 1; which part of the difference is in the model
#   that was merged with a weight of 0.1, 0.3 and 1):
#   task_arithmetic: 0.10, 0.30, 1.00
#   dare_linear: 0.10, 0.30, 1.00
#   dare_ties: 0.10, 0.30, 1.00
#   ties: 1.00, 1.00, 1.00
#   ties, weight 0.3, normalize: false: 0.30
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 mergekit==0.1.5
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from pathlib import Path

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

BASE, TUNED, MERGED = (str(Path(name).resolve()) for name in ("base", "tuned", "merged"))
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
)
model = LlamaForCausalLM(config)
model.save_pretrained(BASE)
with torch.no_grad():
    for weight in model.parameters():
        weight.add_(0.01 * torch.randn_like(weight))
model.save_pretrained(TUNED)


def weights(folder):
    return load_file(f"{folder}/model.safetensors")


def merge(method, weight, **settings):
    """Return which part of the difference is in the merged model."""
    recipe = {
        "merge_method": method,
        "base_model": BASE,
        "dtype": "float32",
        "models": [{"model": TUNED, "parameters": {"weight": weight, "density": 1.0}}],
        "parameters": settings,
    }
    if method == "task_arithmetic":
        del recipe["models"][0]["parameters"]["density"]
    options = MergeOptions(copy_tokenizer=False, cuda=False, quiet=True)
    run_merge(MergeConfiguration.model_validate(recipe), MERGED, options)
    base, tuned, merged = weights(BASE), weights(TUNED), weights(MERGED)
    wanted = torch.cat([(tuned[name] - base[name]).flatten() for name in base])
    got = torch.cat([(merged[name] - base[name]).flatten() for name in base])
    return ((got * wanted).sum() / (wanted * wanted).sum()).item()


parts = {}
for method in ("task_arithmetic", "dare_linear", "dare_ties", "ties"):
    parts[method] = [merge(method, weight) for weight in (0.1, 0.3, 1.0)]
    print(f"{method}: " + ", ".join(f"{part:.2f}" for part in parts[method]), flush=True)
without = merge("ties", 0.3, normalize=False)
print(f"ties, weight 0.3, normalize: false: {without:.2f}")
for method, part in parts.items():
    wanted = [1.0, 1.0, 1.0] if method == "ties" else [0.1, 0.3, 1.0]
    assert all(abs(a - b) < 0.01 for a, b in zip(part, wanted, strict=True)), (method, part)
assert abs(without - 0.3) < 0.01
PY
