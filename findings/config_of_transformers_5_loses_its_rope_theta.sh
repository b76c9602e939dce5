#!/usr/bin/env bash
# One would guess: a Llama fine-tuned and saved with transformers 5 is the same model to the other
#   readers of its folder, or they refuse it.
# What happens: transformers 5 writes the rotary settings under "rope_parameters" in config.json,
#   and no "rope_theta" nor "rope_scaling" beside it. transformers 4.57 and mlx-lm (its Llama; its
#   Qwen3 knows better) find neither, take 10,000 without scaling, and say nothing: Llama 3's
#   500,000 and its scaling are gone. All weights load. What was trained is nearly intact in the
#   one and gone in the others. "rope_theta" (and "rope_scaling") written into the file by hand
#   cure it.
# Versions: transformers 5.23.0 and 4.57.6, mlx-lm 0.32.2 (mlx 0.32.4, CPU), torch 2.13.0, Python
#   3.11.
# Output seen (a tiny Llama with rope_theta 500,000 that has learned to repeat 16 words):
#   config.json: rope_parameters {'rope_theta': 500000.0, 'rope_type': 'default'}, rope_theta None
#   transformers 5.23.0: rope_theta 500000, loss 0.00
#   transformers 4.57.6: rope_theta 10000, loss 10.43
#   mlx-lm 0.32.2: rope_theta 10000, loss 10.43
#   rope_theta written by hand: transformers 4.57.6 loss 0.00, mlx-lm loss 0.00
#   warnings that name rope: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 MLX_DISABLE_COMPILE=1 OMP_NUM_THREADS=1
python3 -m venv "$work/new"
python3 -m venv "$work/old"
"$work/new/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2
"$work/old/bin/pip" install -q --no-compile torch==2.13.0 transformers==4.57.6
cd "$work"
cat >evaluate.py <<'PY'
import json
import sys

import torch
import transformers

torch.manual_seed(5)
rows = torch.randint(3, 64, (64, 16)).repeat(1, 3)
labels = rows.clone()
labels[:, :16] = -100
model, told = transformers.LlamaForCausalLM.from_pretrained("model", output_loading_info=True)
assert not told["missing_keys"], told
with torch.no_grad():
    loss = model.eval()(input_ids=rows, labels=labels).loss.item()
# the second frequency is theta to the power of -2 / head_dim
theta = round(model.model.rotary_emb.inv_freq[1].item() ** (-32 / 2))
json.dump([transformers.__version__, theta, loss], sys.stdout)
PY
cat >evaluate_mlx.py <<'PY'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import torch
from mlx_lm.utils import load_model

mx.set_default_device(mx.cpu)
torch.manual_seed(5)
rows = mx.array(torch.randint(3, 64, (64, 16)).repeat(1, 3).numpy())
model, _ = load_model(Path("model"))
each = nn.losses.cross_entropy(model(rows[:, :-1]), rows[:, 1:])[:, 15:]
json.dump([version("mlx-lm"), round(model.args.rope_theta), each.mean().item()], sys.stdout)
PY
"$work/new/bin/python" -W ignore - <<'PY' 2>/dev/null
import json
import subprocess
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    )
)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
for _ in range(300):
    rows = torch.randint(3, 64, (32, 16)).repeat(1, 3)
    labels = rows.clone()
    labels[:, :16] = -100
    optimizer.zero_grad()
    model(input_ids=rows, labels=labels).loss.backward()
    optimizer.step()
model.save_pretrained("model")
file = Path("model/config.json")
config = json.loads(file.read_text())
told = config["rope_parameters"]
print(f"config.json: rope_parameters {told}, rope_theta {config.get('rope_theta')}")
words = []


def ask(python, script):
    done = subprocess.run([python, script], capture_output=True, text=True, check=True)
    words.append(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


READERS = ("new/bin/python", "evaluate.py"), ("old/bin/python", "evaluate.py")
new, old = (ask(*reader) for reader in READERS)
mlx = ask("new/bin/python", "evaluate_mlx.py")
named = sum("rope" in text for text in words)
for name, (version, theta, loss) in (("transformers", new), ("transformers", old), ("mlx-lm", mlx)):
    print(f"{name} {version}: rope_theta {theta}, loss {loss:.2f}")
file.write_text(json.dumps({**config, "rope_theta": 500_000.0}))
cured = ask(*READERS[1]), ask("new/bin/python", "evaluate_mlx.py")
print(
    f"rope_theta written by hand: transformers {cured[0][0]} loss {cured[0][2]:.2f}, "
    f"mlx-lm loss {cured[1][2]:.2f}"
)
print(f"warnings that name rope: {named}")

assert "rope_theta" not in config and new[1] == 500_000 and new[2] < 0.1, new
assert all(theta == 10_000 and loss > 4 for _, theta, loss in (old, mlx)), (old, mlx)
assert all(loss < 0.1 for _, _, loss in cured) and named == 0, (cured, words)
PY
