#!/usr/bin/env bash
# One would guess: a decoder with a classification head (LlamaForSequenceClassification) under
#   prompt tuning or p-tuning classifies a row by its last word, as it does without, or with LoRA:
#   padding to the longest row of the batch changes nothing.
# What happens: peft hands over embeddings, not ids, and without ids the model takes the last
#   place of the row for its end, padding or not. Each row that is not the longest of its batch is
#   trained and judged by what the model makes of a padding token: its logits change with the
#   company it is in, and the accuracy with per_device_eval_batch_size. transformers speaks of
#   "unexpected" results once, at the first batch. Padding on the left changes a tenth at most.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (one row of 8 words, alone and padded to 28: the largest change of its logits, in
#   parts of the largest logit):
#   no adapter: right 0.00, left 0.00
#   LoRA: right 0.00, left 0.00
#   prefix tuning: right 0.00, left 0.10
#   prompt tuning: right 0.96, left 0.00
#   p-tuning: right 15.59, left 0.09
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
from peft import (
    LoraConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from transformers import LlamaConfig, LlamaForSequenceClassification

COMMON = {"task_type": "SEQ_CLS", "num_virtual_tokens": 4}
ADAPTERS = {
    "no adapter": None,
    "LoRA": LoraConfig(task_type="SEQ_CLS"),
    "prefix tuning": PrefixTuningConfig(**COMMON),
    "prompt tuning": PromptTuningConfig(**COMMON),
    "p-tuning": PromptEncoderConfig(**COMMON, encoder_hidden_size=16),
}


def made(config):
    torch.manual_seed(0)
    base = LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            pad_token_id=0,
            num_labels=2,
        )
    )
    return (get_peft_model(base, config) if config else base).eval()


def logits_of(model, row, places, side="right"):
    more = torch.zeros(1, places, dtype=torch.long)
    order = [row, more] if side == "right" else [more, row]
    ids = torch.cat(order, 1)
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=(ids != 0).long()).logits


row = torch.randint(3, 64, (1, 8), generator=torch.Generator().manual_seed(1))
seen = {}
for name, config in ADAPTERS.items():
    model = made(config)
    alone = logits_of(model, row, 0)
    seen[name] = [
        ((logits_of(model, row, 20, side) - alone).abs().max() / alone.abs().max()).item()
        for side in ("right", "left")
    ]
    print(f"{name}: right {seen[name][0]:.2f}, left {seen[name][1]:.2f}")

assert all(seen[name][0] < 0.01 for name in ("no adapter", "LoRA", "prefix tuning")), seen
assert all(seen[name][0] > 0.3 for name in ("prompt tuning", "p-tuning")), seen
assert all(left < 0.3 for _, left in seen.values()), seen
PY
