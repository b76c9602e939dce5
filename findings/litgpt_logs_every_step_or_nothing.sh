#!/usr/bin/env bash
# One would guess: litgpt's --train.log_interval 5 writes every fifth iteration to metrics.csv.
# What happens: no metrics.csv is written at all, and no word of it; with log_interval 1 it is. The
#   CSVLogger is made to flush where (step + 1) is a multiple of the interval, rows come where the
#   step itself is one, and nothing flushes what is left at the end. The console shows the rows.
# Versions: litgpt 0.5.13, lightning 2.6.6, torch 2.13.0, Python 3.11.
# Output seen (20 iterations):
#   log_interval 1: 20 rows in the console, 20 in metrics.csv
#   log_interval 5: 4 rows in the console, no metrics.csv
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES=
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 lightning==2.6.6 litgpt==0.5.13 requests
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

seen = {}
for interval in (1, 5):
    out = Path(f"out{interval}")
    command = f"""-m litgpt finetune_full model --out_dir {out} --precision 32-true --data JSON
        --data.json_path data --data.prompt_style qwen3 --data.num_workers 0 --train.epochs 1
        --train.global_batch_size 2 --train.micro_batch_size 2 --train.lr_warmup_steps 2
        --train.log_interval {interval} --eval.initial_validation false
        --eval.final_validation false"""
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    shown = sum("loss train:" in line for line in done.stdout.splitlines())
    files = list(out.rglob("metrics.csv"))
    written = len(list(csv.DictReader(files[0].open()))) if files else None
    told = f"{written} in metrics.csv" if files else "no metrics.csv"
    print(f"log_interval {interval}: {shown} rows in the console, {told}")
    seen[interval] = (shown, written)

assert seen == {1: (20, 20), 5: (4, None)}
PY
