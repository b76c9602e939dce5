#!/usr/bin/env bash
# One would guess: a packed row (DataCollatorWithFlattening: position_ids that start anew, no
#   attention_mask) means the same to a model however it is called; with attention by sdpa or eager
#   transformers makes the mask between the documents from position_ids.
# What happens: it does so only where no cache is made, and a model called as model(**batch) makes
#   one (use_cache is True in the configuration): the documents see each other, in training mode
#   too. The Trainer turns the cache off; a loop of one's own, or an evaluation outside of the
#   Trainer, does not. An attention_mask of ones beside the position_ids does the same. Nothing is
#   said; the loss is that of an easier task, or of another one.
# Versions: transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (change of the second document's logits by the first one, in parts of their size):
#   sdpa  model(**batch): 0.802
#   sdpa  use_cache=False: 0.000
#   sdpa  use_cache=False and a mask of ones: 0.802
#   eager model(**batch): 0.802
#   eager use_cache=False: 0.000
#   eager use_cache=False and a mask of ones: 0.802
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
from transformers import DataCollatorWithFlattening, LlamaConfig, LlamaForCausalLM

said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


logging.getLogger("transformers").addHandler(Ear())
random = torch.Generator().manual_seed(1)
first = torch.randint(3, 64, (7,), generator=random).tolist()
second = torch.randint(3, 64, (9,), generator=random).tolist()
other = torch.randint(3, 64, (7,), generator=random).tolist()
flatten = DataCollatorWithFlattening()
batch, changed = (
    flatten([{"input_ids": before}, {"input_ids": second}]) for before in (first, other)
)
seen = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                attn_implementation=attention,
            )
        ).train()
        for weight in model.parameters():  # as large as trained ones
            if weight.ndim > 1:
                weight.data.mul_(5)
        ones = {"attention_mask": torch.ones_like(batch["input_ids"])}
        for text, more in (
            ("model(**batch)", {}),
            ("use_cache=False", {"use_cache": False}),
            ("use_cache=False and a mask of ones", {"use_cache": False, **ones}),
        ):
            with torch.no_grad():
                one, two = (
                    model(**each, **more).logits[0, len(first) :] for each in (batch, changed)
                )
            seen[attention, text] = ((one - two).norm() / one.norm()).item()
            print(f"{attention:5} {text}: {seen[attention, text]:.3f}")

for attention in ("sdpa", "eager"):
    assert seen[attention, "model(**batch)"] > 0.1
    assert seen[attention, "use_cache=False"] < 1e-5
    assert seen[attention, "use_cache=False and a mask of ones"] > 0.1
told = [*said, *(str(each.message) for each in caught)]
assert not [text for text in told if "pack" in text or "cache" in text], told
PY
