#!/usr/bin/env bash
# One would guess: Dataset.from_list(rows) has every column that some row has (as
#   load_dataset("json") on the same rows, as pandas), or refuses rows that differ.
# What happens: the columns are those of the first row; what only later rows have is dropped in
#   silence. Chats of which the first calls no tool lose the "tools" of all others. One level down
#   it is the other way round: keys of a later message are added to the earlier ones, as None.
# Versions: datasets 5.2.0, pyarrow 26.0.1, Python 3.11.
# Output seen:
#   from_list: columns ['messages']
#   the same rows, tools first: columns ['messages', 'tools']
#   load_dataset("json"): columns ['messages', 'tools']
#   first message: {'content': 'hi', 'role': 'user', 'name': None}
#   warnings: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile datasets==5.2.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import json
import warnings
from pathlib import Path

import datasets
from datasets import Dataset, load_dataset

datasets.disable_progress_bars()
plain = {"messages": [{"role": "user", "content": "hi"}]}
tooled = {"messages": [{"role": "user", "content": "hi", "name": "ann"}], "tools": '["search"]'}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    listed = Dataset.from_list([plain, tooled, tooled])
turned = Dataset.from_list([tooled, plain, tooled])
Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (plain, tooled, tooled)))
loaded = load_dataset("json", data_files="rows.jsonl", split="train")
first = listed[0]["messages"][0]
print("from_list: columns", listed.column_names)
print("the same rows, tools first: columns", turned.column_names)
print('load_dataset("json"): columns', loaded.column_names)
print("first message:", first)
print("warnings:", len(caught))

assert listed.column_names == ["messages"]
assert sorted(turned.column_names) == sorted(loaded.column_names) == ["messages", "tools"]
assert loaded[1]["tools"] == '["search"]'
assert first == {"role": "user", "content": "hi", "name": None}
assert not caught
PY
