#!/usr/bin/env bash
# One would guess: an adapter trained beside a float32 base works beside the same base in bfloat16, to
#   rounding, as LoRA's does.
# What happens: what PSOFT and FRoD save is in a basis that is not, or not wholly, saved: it is computed
#   anew from the base's weights at each load (PSOFT's singular vectors; of FRoD's two sides "frod_U",
#   save_projection=True keeps the other). Rounding the base turns and flips these vectors, and the
#   saved numbers mean something else. Half, or all, of what was learned is gone without a word: all
#   keys match. Merged beside the base of the training and rounded then, it is kept.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (a tiny Llama, 8 rows, each kind trained on the float32 base; loss of the base, after
#   training, loaded beside the float32 base, beside the bfloat16 one, and merged, then rounded):
#   LoRA: base 4.49, trained 0.20, loaded 0.20, bfloat16 base 0.20, merged 0.20
#   PSOFT: base 4.49, trained 1.90, loaded 1.90, bfloat16 base 3.15, merged 1.90
#   FRoD: base 4.49, trained 0.67, loaded 0.67, bfloat16 base 4.49, merged 0.67
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from peft import FrodConfig, LoraConfig, PeftModel, PsoftConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

ids = torch.randint(0, 64, (8, 16), generator=torch.Generator().manual_seed(1))
KINDS = {
    "LoRA": (LoraConfig, {"r": 8}, 1e-2, 0.0),
    "PSOFT": (PsoftConfig, {"r": 8}, 3e-2, 0.3),
    "FRoD": (FrodConfig, {}, 3e-2, 0.9),
}


def base(dtype=torch.float32):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # of the size that trained weights have
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(5)
    return model.to(dtype)


def loss(model):
    return model(input_ids=ids, labels=ids).loss


def held(model):
    with torch.no_grad():
        return loss(model.eval()).item()


for name, (config, settings, rate, least) in KINDS.items():
    torch.manual_seed(1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    chosen = config(target_modules=targets, task_type="CAUSAL_LM", **settings)
    model = get_peft_model(base(), chosen)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=rate)
    model.train()
    for _ in range(200):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    model.save_pretrained(name)
    start, trained = held(base()), held(model)
    same = held(PeftModel.from_pretrained(base(), name))
    other = held(PeftModel.from_pretrained(base(torch.bfloat16), name))
    merged = held(model.merge_and_unload().to(torch.bfloat16))
    print(
        f"{name}: base {start:.2f}, trained {trained:.2f}, loaded {same:.2f}, "
        f"bfloat16 base {other:.2f}, merged {merged:.2f}",
        flush=True,
    )
    lost = (other - trained) / (start - trained)
    assert trained < start - 0.5 and abs(same - trained) < 0.01, (name, start, trained, same)
    assert abs(merged - trained) < 0.1, (name, trained, merged)
    assert lost > least if least else abs(lost) < 0.05, (name, lost)
PY
