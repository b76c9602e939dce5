#!/usr/bin/env bash
# One would guess: merge_and_unload() gives the model that was trained, also where LoRA's
#   layer_replication=[[0, 2], [0, 2]] made a deeper model of the base's layers: each copy has an
#   adapter of its own.
# What happens: the copies share the base's weights (this is how they cost no memory), and the
#   merge adds the adapter of each copy to that one tensor: all copies have all adapters. Most of
#   what was learned is gone, without a word; save_pretrained of the merged model then complains
#   of shared tensors, for which one would clone them and save the wrong weights. Giving each
#   layer weights of its own before the merge makes it exact.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (loss on the rows that were trained):
#   [[0, 2], [0, 2]]: before 4.139, trained 2.936, merged 3.963
#   [[0, 2], [0, 2]], weights copied before the merge: before 4.139, trained 2.936, merged 2.936
#   none: before 4.149, trained 2.946, merged 2.946
#   warnings of the merge: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=warning OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" - <<'PY' 2>/dev/null
import warnings

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(3)
rows = torch.randint(0, 64, (8, 16))


def loss_of(model):
    return model(input_ids=rows, labels=rows).loss


def run(replication, copied=False):
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
    )
    config = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules="all-linear",
        layer_replication=replication,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    before = loss_of(model).item()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    model.eval()
    trained = loss_of(model).item()
    if copied:
        for module in model.modules():
            if hasattr(module, "base_layer"):
                weight = module.base_layer.weight
                module.base_layer.weight = torch.nn.Parameter(weight.detach().clone())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        merged = loss_of(model.merge_and_unload()).item()
    name = str(replication or "none") + ", weights copied before the merge" * copied
    print(f"{name}: before {before:.3f}, trained {trained:.3f}, merged {merged:.3f}")
    about = [each for each in seen if "merg" in str(each.message) or "shar" in str(each.message)]
    return before, trained, merged, len(about)


copies = [[0, 2], [0, 2]]
before, trained, merged, warned = run(copies)
own, plain = run(copies, copied=True), run(None)
print(f"warnings of the merge: {warned}")

assert merged - trained > (before - trained) / 2
assert warned == 0
assert all(abs(each[2] - each[1]) < 1e-3 for each in (own, plain))
PY
