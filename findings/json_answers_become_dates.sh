#!/usr/bin/env bash
# One would guess: a JSON string stays a string in load_dataset("json", ...).
# What happens: a column whose strings all look like dates becomes a timestamp column, time zone
#   and spelling gone; a fine-tuning set whose answers are dates then trains on "2024-03-01
#   00:00:00" where an f-string builds the text. One row with another answer, and the column is
#   text. The same answers inside "messages" stay text. Digits ("12") and clock times ("10:20")
#   stay text, too.
# Versions: datasets 5.2.0, pyarrow 26.0.1, Python 3.11.
# Output seen:
#   dates        timestamp[s]  '2024-03-01' -> '2024-03-01 00:00:00'
#   date+time    timestamp[s]  '2024-03-01T10:20:30Z' -> '2024-03-01 10:20:30'
#   one other    string        '2024-03-01' -> '2024-03-01'
#   clock times  string        '10:20' -> '10:20'
#   digits       string        '12' -> '12'
#   in messages: 'Answer: 2024-03-01'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile datasets==5.2.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import json
from pathlib import Path

import datasets
from datasets import load_dataset

datasets.disable_progress_bars()


def load(name, rows):
    path = Path(name.replace(" ", "_") + ".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_dataset("json", data_files=str(path), split="train")


seen = {}
for name, answers in {
    "dates": ["2024-03-01", "2023-11-30"],
    "date+time": ["2024-03-01T10:20:30Z", "2023-11-30T08:00:00Z"],
    "one other": ["2024-03-01", "not given"],
    "clock times": ["10:20", "08:00"],
    "digits": ["12", "7"],
}.items():
    data = load(name, [{"prompt": "When?", "completion": each} for each in answers])
    kind = data.features["completion"].dtype
    text = f"{data[0]['completion']}"
    seen[name] = kind, answers[0], text
    print(f"{name:12} {kind:13} {answers[0]!r} -> {text!r}")
turns = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "2024-03-01"}]
messages = load("messages", [{"messages": turns}] * 2)
inside = messages[0]["messages"][1]["content"]
print(f"in messages: {'Answer: ' + inside!r}")

assert seen["dates"][0] == seen["date+time"][0] == "timestamp[s]"
assert seen["dates"][2] == "2024-03-01 00:00:00"
assert seen["date+time"][2] == "2024-03-01 10:20:30"
for name in ("one other", "clock times", "digits"):
    assert seen[name][0] == "string" and seen[name][1] == seen[name][2], name
assert inside == "2024-03-01"
PY
