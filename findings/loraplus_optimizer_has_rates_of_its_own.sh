#!/usr/bin/env bash
# One would guess: peft's create_loraplus_optimizer(model, AdamW, lr, loraplus_lr_ratio=16,
#   weight_decay=0.1) trains A matrices at lr, B matrices at 16 times that, all else at lr, with
#   the weight decay that was given.
# What happens: an adapter on the embedding (as one has for new tokens) is trained at 1e-6,
#   whatever lr is: it does not learn. What has one dimension, norms in modules_to_save and DoRA's
#   magnitudes, is trained at 16 times lr. And weight_decay=0.1 is passed over: every group has 0,
#   unless it is called loraplus_weight_decay. The log shows the first group's rate.
#   loraplus_lr_embedding sets the first.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (lr 1e-4; rate and weight decay of each kind of weight):
#   lora_A: 0.0001, 0.0
#   lora_B: 0.0016, 0.0
#   DoRA's magnitude: 0.0016, 0.0
#   norm in modules_to_save: 0.0016, 0.0
#   head in modules_to_save: 0.0001, 0.0
#   lora_embedding_A and B: 1e-06, 0.0
#   with loraplus_weight_decay=0.1: lora_A 0.1, lora_B 0.1
#   largest change after 50 steps: adapter of the embedding 6e-05, of the projections 1e-01
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import LlamaConfig, LlamaForCausalLM


def adapted():
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    config = LoraConfig(
        r=4,
        target_modules=["q_proj", "v_proj", "embed_tokens"],
        modules_to_save=["input_layernorm", "lm_head"],
        use_dora=True,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)


def optimizer_of(model, **settings):
    return create_loraplus_optimizer(
        model, optimizer_cls=torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16, **settings
    )


KINDS = {
    "lora_A": "q_proj.lora_A",
    "lora_B": "q_proj.lora_B",
    "DoRA's magnitude": "q_proj.lora_magnitude",
    "norm in modules_to_save": "input_layernorm.modules_to_save",
    "head in modules_to_save": "lm_head.modules_to_save",
    "lora_embedding_A and B": "lora_embedding_",
}


def groups_of(model, optimizer):
    groups = {id(weight): group for group in optimizer.param_groups for weight in group["params"]}
    found = {}
    for kind, part in KINDS.items():
        settings = {
            (groups[id(weight)]["lr"], groups[id(weight)]["weight_decay"])
            for name, weight in model.named_parameters()
            if part in name and weight.requires_grad
        }
        (found[kind],) = settings
    return found


model = adapted()
optimizer = optimizer_of(model, weight_decay=0.1)
found = groups_of(model, optimizer)
for kind, (rate, decay) in found.items():
    print(f"{kind}: {rate:.4g}, {decay}")
other = adapted()
decayed = groups_of(other, optimizer_of(other, loraplus_weight_decay=0.1))
shown = ", ".join(f"{kind} {decayed[kind][1]}" for kind in ("lora_A", "lora_B"))
print(f"with loraplus_weight_decay=0.1: {shown}")
start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
rows = torch.randint(0, 64, (8, 16))
for _ in range(50):
    optimizer.zero_grad()
    model(input_ids=rows, labels=rows).loss.backward()
    optimizer.step()
changes = {
    name: (weight.detach() - start[name]).abs().max().item()
    for name, weight in model.named_parameters()
}
embedding = max(change for name, change in changes.items() if "lora_embedding_" in name)
projections = max(change for name, change in changes.items() if "_proj.lora_B" in name)
print(
    f"largest change after 50 steps: adapter of the embedding {embedding:.0e}, "
    f"of the projections {projections:.0e}"
)

rates = [rate for rate, _ in found.values()]
assert [round(rate / 1e-4, 2) for rate in rates] == [1, 16, 16, 16, 1, 0.01], rates
assert all(decay == 0 for _, decay in found.values())
assert decayed["lora_A"][1] == decayed["lora_B"][1] == 0.1
assert embedding < 1e-4 < 1e-2 < projections
PY
