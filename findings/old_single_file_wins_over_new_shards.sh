#!/usr/bin/env bash
# One would guess: save_pretrained into a folder that holds an older model leaves the new model
#   there: it cleans up what an earlier save left (older shards are removed).
# What happens: an older model.safetensors is left where the new weights are written in shards,
#   and from_pretrained takes the single file first. The old weights are loaded, in silence: a
#   training that saves with another max_shard_size than the one before it has changed nothing.
#   The other way round (old shards, new single file) the shards go and all is well.
# Versions: transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen:
#   single file, then shards: model.safetensors is still there, loaded: the old weights
#   shards, then single file: the shards are gone, loaded: the new weights
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
)
old, new = LlamaForCausalLM(config), LlamaForCausalLM(config)
SHARDED = {"max_shard_size": "20KB"}


def saved_over(folder, first, second):
    old.save_pretrained(folder, **first)
    new.save_pretrained(folder, **second)
    loaded = AutoModelForCausalLM.from_pretrained(folder).lm_head.weight
    which = [
        name
        for name, model in (("old", old), ("new", new))
        if torch.equal(loaded, model.lm_head.weight)
    ]
    files = sorted(path.name for path in Path(folder).glob("*.safetensors"))
    return files, which


after_shards, first = saved_over("a", {}, SHARDED)
after_single, second = saved_over("b", SHARDED, {})
there = "still there" if "model.safetensors" in after_shards else "gone"
print(f"single file, then shards: model.safetensors is {there}, loaded: the {first[0]} weights")
gone = "gone" if after_single == ["model.safetensors"] else "still there"
print(f"shards, then single file: the shards are {gone}, loaded: the {second[0]} weights")

assert "model.safetensors" in after_shards and len(after_shards) > 2
assert first == ["old"]
assert after_single == ["model.safetensors"] and second == ["new"]
PY
