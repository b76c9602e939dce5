#!/usr/bin/env bash
# One would guess: an evaluation in the middle of a training loop (lm_eval.simple_evaluate on the
#   model that is trained) measures, and leaves the run as it was.
# What happens: it sets the seeds of random, numpy and torch, to 0 and 1234, each time, and puts the
#   model into eval mode without putting it back. From the first evaluation on a loop that calls
#   train() once trains without dropout; and what is drawn after each evaluation is the same each
#   time: an epoch that begins after one has the order of the epoch after the last one, and the same
#   noise. random_seed=None, numpy_random_seed=None, torch_random_seed=None, and train() after it.
# Versions: lm-eval 0.4.13, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (32 rows, an evaluation after each epoch):
#   dropout is on in epochs: [True, False, False, False]
#   epochs in another order than the one before: [True, False, False]
#   with the three seeds None and train(): dropout [True, True, True, True], order [True, True, True]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 OMP_NUM_THREADS=1
export TOKENIZERS_PARALLELISM=false
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
    "lm-eval[hf]==0.4.13"
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import itertools
import json
from pathlib import Path

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

words = ["<pad>", "<eos>", "<unk>", *(f"w{number}" for number in range(61))]
inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
)
Path("rows.jsonl").write_text(
    "".join(json.dumps({"text": f"w{i} w{i + 1}", "label": i % 2}) + "\n" for i in range(4))
)
TASK = {
    "task": "tiny",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{text}}",
    "doc_to_choice": ["w1", "w2"],
    "doc_to_target": "{{label}}",
}
rows = torch.randint(3, 64, (32, 8))


def train(after=lambda model: None, **settings):
    torch.manual_seed(7)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            attention_dropout=0.1,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    modes, orders = [], []
    for _ in range(4):
        modes.append(model.training)
        orders.append(torch.randperm(len(rows)).tolist())
        for part in torch.tensor(orders[-1]).split(8):
            optimizer.zero_grad()
            model(input_ids=rows[part], labels=rows[part]).loss.backward()
            optimizer.step()
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
        lm_eval.simple_evaluate(model=lm, tasks=[TASK], bootstrap_iters=0, **settings)
        after(model)
    return modes, [one != other for one, other in itertools.pairwise(orders)]


modes, new = train()
print(f"dropout is on in epochs: {modes}")
print(f"epochs in another order than the one before: {new}")
seeds = dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed"))
kept_modes, kept_new = train(after=lambda model: model.train(), **seeds)
print(f"with the three seeds None and train(): dropout {kept_modes}, order {kept_new}")

assert modes == [True, False, False, False] and new == [True, False, False], (modes, new)
assert all(kept_modes) and all(kept_new)
PY
