#!/usr/bin/env bash
# One would guess: LoRA with target_modules="all-linear", or with the seven names of every recipe (q, k, v,
#   o, gate, up and down_proj), trains the experts of a mixture too; they are nearly all of the model.
# What happens: transformers 5 keeps the experts of a layer as one parameter, not as linear layers, and peft
#   finds them for some kinds of model only. Of Qwen2-MoE, Phi-MoE, Granite-MoE and gpt-oss no expert gets
#   an adapter by either way, of Mixtral none by the seven names, and nothing is said: the loss falls by
#   what attention learns. With transformers 4.57 the same line adapted those of Qwen2-MoE, and of Phi-MoE by
#   "all-linear". An adapter trained there loads in transformers 5 without a word, and what its experts
#   learned is gone. target_parameters=["experts.gate_up_proj", "experts.down_proj"] adapts them.
# Versions: peft 0.21.2, transformers 5.23.0 and 4.57.6, torch 2.13.0, Python 3.11.
# Output seen (tiny models; the part of the experts' weights that an adapter changes: by "all-linear", by the
#   seven names, by target_parameters; an adapter trained in the old version, by the seven names or, of
#   Phi-MoE, "all-linear", and loaded in the new one):
#   4.57.6 qwen3_moe: 100%, 100%
#   4.57.6 mixtral: 100%, 0%
#   4.57.6 qwen2_moe: 100%, 100%
#   4.57.6 phimoe: 100%, 0%
#   4.57.6 granitemoe: 0%, 0%
#   4.57.6 gpt_oss: 0%, 0%
#   4.57.6 qwen3_moe: trained, loss 4.17 to 3.59
#   4.57.6 qwen2_moe: trained, loss 4.14 to 3.57
#   4.57.6 phimoe: trained, loss 4.18 to 3.65
#   5.23.0 qwen3_moe: 100%, 100%, 100%
#   5.23.0 mixtral: 100%, 0%, 100%
#   5.23.0 qwen2_moe: 0%, 0%, 100%
#   5.23.0 phimoe: 0%, 0%, 100%
#   5.23.0 granitemoe: 0%, 0%, 100%
#   5.23.0 gpt_oss: 0%, 0%, 100%
#   5.23.0 qwen3_moe: loaded with 0 warnings, loss 4.17 to 3.59
#   5.23.0 qwen2_moe: loaded with 0 warnings, loss 4.14 to 3.88
#   5.23.0 phimoe: loaded with 0 warnings, loss 4.18 to 4.01
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
for version in 4.57.6 5.23.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q --no-compile torch==2.13.0 "transformers==$version" peft==0.21.2
done
cd "$work"
cat > run.py <<'PY'
import json
import re
import warnings
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

SEVEN = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_experts_per_tok": 2,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
KINDS = {
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 16},
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {
        "num_experts": 4,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "phimoe": {"num_local_experts": 4},
    "granitemoe": {"num_local_experts": 4},
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8},
}
EXPERT = re.compile(r"\.experts\.|moe\.(in|out)put_linear\.")
ids = torch.randint(2, 64, (8, 16), generator=torch.Generator().manual_seed(1))
new = transformers.__version__.startswith("5")


def make(kind):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE, **KINDS[kind]))


def share(kind, **targets):
    """Return which part of the experts' weights a new LoRA adapter changes."""
    base = make(kind)
    weights = {
        name: weight
        for name, weight in base.named_parameters()
        if EXPERT.search(name) and "bias" not in name
    }
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = get_peft_model(base, LoraConfig(r=4, init_lora_weights=False, **targets))
    assert not any("expert" in str(each.message) for each in told)
    model.merge_and_unload()
    sizes = [
        (weight.numel(), not torch.equal(weight, before[name])) for name, weight in weights.items()
    ]
    return sum(size for size, moved in sizes if moved) / sum(size for size, _ in sizes)


def loss(model):
    return model(input_ids=ids, labels=ids).loss


def learn(kind, targets):
    """Train an adapter, save it and its base, and return the losses before and after."""
    base = make(kind)
    base.save_pretrained(f"{kind}/base")
    model = get_peft_model(base, LoraConfig(r=4, target_modules=targets)).train()
    before = loss(model).item()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    model.eval().save_pretrained(f"{kind}/adapter")
    return [before, loss(model).item()]


def load(kind):
    """Return the losses of the saved base and of the adapter beside it, and what was said."""
    base = AutoModelForCausalLM.from_pretrained(f"{kind}/base").eval()
    before = loss(base).item()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, f"{kind}/adapter").eval()
    said = [str(each.message) for each in told if issubclass(each.category, UserWarning)]
    return [before, loss(model).item(), len(said)]


found = {}
for kind in KINDS:
    ways = [{"target_modules": "all-linear"}, {"target_modules": SEVEN}]
    if new:
        names = ["experts.gate_up_proj", "experts.down_proj"]
        ways.append({"target_parameters": names})
    found[kind] = [share(kind, **way) for way in ways]
    shares = ", ".join(f"{part:.0%}" for part in found[kind])
    print(f"{transformers.__version__} {kind}: {shares}", flush=True)
kept = {}
for kind, targets in (("qwen3_moe", SEVEN), ("qwen2_moe", SEVEN), ("phimoe", "all-linear")):
    kept[kind] = load(kind) if new else learn(kind, targets)
    before, after, *said = kept[kind]
    text = f"loaded with {said[0]} warnings" if new else "trained"
    print(
        f"{transformers.__version__} {kind}: {text}, loss {before:.2f} to {after:.2f}", flush=True
    )
if new:
    old = json.loads(Path("old.json").read_text())
    assert found == {
        "qwen3_moe": [1, 1, 1],
        "mixtral": [1, 0, 1],
        "qwen2_moe": [0, 0, 1],
        "phimoe": [0, 0, 1],
        "granitemoe": [0, 0, 1],
        "gpt_oss": [0, 0, 1],
    }, found
    assert old["found"]["qwen2_moe"] == [1, 1] and old["found"]["phimoe"] == [1, 0], old
    for kind, (before, after, said) in kept.items():
        first, last = old["kept"][kind]
        part = (before - after) / (first - last)
        assert part > 0.99 if kind == "qwen3_moe" else part < 0.6, (kind, part)
        assert said == 0, (kind, said)
else:
    Path("old.json").write_text(json.dumps({"found": found, "kept": kept}))
PY
for version in 4.57.6 5.23.0; do
  "$work/$version/bin/python" -W ignore run.py 2>/dev/null
done
