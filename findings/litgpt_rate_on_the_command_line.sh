#!/usr/bin/env bash
# One would guess: litgpt's --optimizer.init_args.lr 0.5, beside a --config whose optimizer has
#   init_args with lr 0.001, trains at 0.5, as --train.epochs wins over the file's epochs.
# What happens: it trains at 0.001 with exit code 0 and no word of it. The flag becomes a text under
#   the optimizer's own name, beside init_args, where nobody reads it. Without a --config the run
#   ends with a KeyError. What works: the file, or without one the optimizer as JSON.
# Versions: litgpt 0.5.13, jsonargparse 4.41.0, lightning 2.6.6, torch 2.13.0, Python 3.11.
# Output seen (the highest rate in metrics.csv, three iterations):
#   the file alone: 0.001
#   --optimizer.init_args.lr 0.5: 0.001
#   without a file, --optimizer.init_args.lr 0.5: KeyError: 'class_path'
#   without a file, --optimizer JSON: 0.5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES=
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 lightning==2.6.6 litgpt==0.5.13 \
  jsonargparse==4.41.0 requests
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import csv
import json
import subprocess
import sys
from pathlib import Path

import torch
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.utils import save_config
from tokenizers import Tokenizer, models, pre_tokenizers

sizes = {"block_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 16, "intermediate_size": 32}
words = ["<unk>", "<eos>", *(f"w{number}" for number in range(62))]
config = Config(name="tiny", vocab_size=64, padded_vocab_size=64, **sizes)
model = Path("model")
model.mkdir()
torch.save(GPT(config).state_dict(), model / "lit_model.pth")
save_config(config, model)
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.save(str(model / "tokenizer.json"))
told = {"eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"}
(model / "tokenizer_config.json").write_text(json.dumps(told))
rows = [{"instruction": f"w{i} w{i + 1}", "output": f"w{i + 2}"} for i in range(40)]
Path("data").mkdir()
for name in ("train", "val"):
    Path("data", f"{name}.json").write_text(json.dumps(rows))
Path("x.yaml").write_text(
    "optimizer:\n  class_path: torch.optim.AdamW\n  init_args:\n    lr: 0.001\n"
)


def highest(name: str, *given: str) -> str:
    """Return the highest rate that a run logged, or the last line of its error."""
    command = f"""-m litgpt finetune_full model --out_dir {name} --precision 32-true --data JSON
        --data.json_path data --data.prompt_style qwen3 --data.num_workers 0 --train.epochs 1
        --train.max_steps 3 --train.global_batch_size 2 --train.micro_batch_size 2
        --train.lr_warmup_steps 1 --train.log_interval 1 --eval.initial_validation false
        --eval.final_validation false"""
    done = subprocess.run([sys.executable, *command.split(), *given], capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    (file,) = Path(name).rglob("metrics.csv")
    return str(max(float(row["learning_rate"]) for row in csv.DictReader(file.open())))


FILE, FLAG = ("--config", "x.yaml"), ("--optimizer.init_args.lr", "0.5")
WHOLE = json.dumps({"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.5}})
seen = {
    "the file alone": highest("a", *FILE),
    " ".join(FLAG): highest("b", *FILE, *FLAG),
    f"without a file, {' '.join(FLAG)}": highest("c", *FLAG),
    "without a file, --optimizer JSON": highest("d", "--optimizer", WHOLE),
}
for what, rate in seen.items():
    print(f"{what}: {rate}")
assert list(seen.values()) == ["0.001", "0.001", "KeyError: 'class_path'", "0.5"], seen
PY
