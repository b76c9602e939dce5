#!/usr/bin/env bash
# One would guess: packing that keeps documents apart by position_ids, which
#   DataCollatorWithFlattening makes for this, keeps them apart in every model of transformers.
# What happens: it does for attention. Layers that carry a state (Mamba, gated delta rule, short
#   convolutions: Qwen3-Next and 3.5, Granite 4, Falcon-H1, LFM2, Jamba, RecurrentGemma) do not
#   look at position_ids: what a document makes of its tokens depends on the document before it.
#   The loss falls as ever. With the boundaries that TRL's packing gives, too (seq_idx,
#   cu_seq_lens), the former refuse to run without the causal_conv1d kernel; Mamba2, Jamba and
#   RecurrentGemma take them and mix the documents all the same.
# Versions: transformers 5.23.0, torch 2.13.0 (no GPU kernels), Python 3.11.
# Output seen (change of the second document's logits by the first one, in parts of their size):
#   llama             flattened 0.000   with seq_idx and cu_seq_lens 0.000
#   qwen3             flattened 0.000   with seq_idx and cu_seq_lens 0.000
#   qwen3_5_text      flattened 0.570   with seq_idx and cu_seq_lens refused
#   granitemoehybrid  flattened 0.783   with seq_idx and cu_seq_lens refused
#   falcon_h1         flattened 0.016   with seq_idx and cu_seq_lens refused
#   mamba2            flattened 1.078   with seq_idx and cu_seq_lens 1.078
#   jamba             flattened 0.082   with seq_idx and cu_seq_lens 0.082
#   recurrent_gemma   flattened 1.187   with seq_idx and cu_seq_lens 1.187
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, DataCollatorWithFlattening

transformers.utils.logging.set_verbosity_error()
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
DELTA = {
    "head_dim": 16,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
MODELS = {
    "llama": {},
    "qwen3": {"head_dim": 16},
    "qwen3_5_text": DELTA,
    "granitemoehybrid": {
        **MAMBA,
        "layer_types": ["mamba", "mamba", "mamba", "attention"],
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "shared_intermediate_size": 32,
    },
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64, "head_dim": 16},
    "mamba2": {
        "num_heads": 8,
        "head_dim": 8,
        "state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "jamba": {"mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
    "recurrent_gemma": {"head_dim": 16, "lru_width": 32, "attention_window_size": 32},
}
random = torch.Generator().manual_seed(1)
first, second = (torch.randint(3, 64, (size,), generator=random).tolist() for size in (7, 9))
documents = [{"input_ids": first}, {"input_ids": second}]
flat = DataCollatorWithFlattening()(documents)
flat.pop("labels")
bounded = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True)(documents)
bounded.pop("labels")


def apart(model, alone, batch):
    try:
        packed = model(**batch, use_cache=False).logits[0, len(first) :]
    except ValueError as error:
        assert "keep packed sequences apart" in str(error), error
        return None
    return ((packed - alone).norm() / alone.norm()).item()


seen = {}
for name, more in MODELS.items():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**SIZES, **more}))
    model.eval()
    for weight in model.parameters():  # as large as trained ones
        if weight.ndim > 1:
            weight.data.mul_(3)
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([second]), use_cache=False).logits[0]
        seen[name] = [apart(model, alone, batch) for batch in (flat, bounded)]
    told = ["refused" if share is None else f"{share:.3f}" for share in seen[name]]
    print(f"{name:17} flattened {told[0]}   with seq_idx and cu_seq_lens {told[1]}")

for name in ("llama", "qwen3"):
    assert max(seen[name]) < 1e-5, name
for name in ("qwen3_5_text", "granitemoehybrid"):
    assert seen[name][0] > 0.1 and seen[name][1] is None, name
assert seen["falcon_h1"][0] > 1e-3 and seen["falcon_h1"][1] is None
for name in ("mamba2", "jamba", "recurrent_gemma"):
    assert min(seen[name]) > 1e-2, name
PY
