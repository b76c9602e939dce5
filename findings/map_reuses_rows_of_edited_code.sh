#!/usr/bin/env bash
# One would guess: Dataset.map runs again when the function's code has changed; that is what the
#   fingerprint of the function is for.
# What happens: a function that is imported from a file of one's own is known by its name alone.
#   Edit the template in prep.py, run again, and the rows of the old template come out of the
#   cache; so too through a lambda that calls it. The same edit in the script itself is seen. What
#   is passed in fn_kwargs is seen, too.
# Versions: datasets 5.2.0, dill 0.4.1, Python 3.11.
# Output seen (second run, after the edit):
#   imported function: Q: hi
#   lambda around it: Q: hi
#   function of the script: User: hi
#   template in fn_kwargs: User: hi
#   no cache: User: hi
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile datasets==5.2.0 dill==0.4.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import json
import subprocess
import sys
from pathlib import Path

PREP = """
TEMPLATE = "{prefix}: {{}}"


def render(row):
    return {{"text": "{prefix}: " + row["q"]}}


def fill(row, template):
    return {{"text": template.format(row["q"])}}
"""
RUN = """
import json

import datasets
from datasets import load_dataset
from prep import TEMPLATE, fill, render

datasets.disable_progress_bars()


def own(row):
    return {{"text": "{prefix}: " + row["q"]}}


rows = load_dataset("json", data_files="rows.jsonl", split="train", cache_dir="cache")
print(
    json.dumps(
        {{
            "imported function": rows.map(render)[0]["text"],
            "lambda around it": rows.map(lambda row: render(row))[0]["text"],
            "function of the script": rows.map(own)[0]["text"],
            "template in fn_kwargs": rows.map(fill, fn_kwargs={{"template": TEMPLATE}})[0]["text"],
            "no cache": rows.map(render, load_from_cache_file=False)[0]["text"],
        }}
    )
)
"""
Path("rows.jsonl").write_text('{"q": "hi"}\n')


def run(prefix):
    Path("prep.py").write_text(PREP.format(prefix=prefix))
    Path("run.py").write_text(RUN.format(prefix=prefix))
    done = subprocess.run([sys.executable, "run.py"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


first = run("Q")
second = run("User")
for name, text in second.items():
    print(f"{name}: {text}")

assert set(first.values()) == {"Q: hi"}, first
stale = {name for name, text in second.items() if text == "Q: hi"}
assert stale == {"imported function", "lambda around it"}, second
assert all(second[name] == "User: hi" for name in second if name not in stale)
PY
