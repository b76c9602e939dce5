#!/usr/bin/env bash
# One would guess: Dataset.from_generator(rows, gen_kwargs={"path": "rows.jsonl"}) runs the generator, and so
#   reads the file, each time the script runs.
# What happens: it runs once, ever: what it gave lies in the cache under the function's code and the
#   arguments' values. When the file has been cleaned, extended or written anew under its name, the next run
#   trains on the old rows, in silence, as long as the function is the same. A file that
#   load_dataset("json") reads is read anew once it has changed, and IterableDataset.from_generator reads
#   each time. Another argument, such as the file's time of change, cures it.
# Versions: datasets 5.2.0, Python 3.11.
# Output seen (each line is a process of its own; rows.jsonl holds 3 rows, then 5 others):
#   from_generator: a b c
#   from_generator, time of change: a b c
#   IterableDataset.from_generator: a b c
#   load_dataset: a b c
#   the file is written anew
#   from_generator: a b c
#   from_generator, time of change: v w x y z
#   IterableDataset.from_generator: v w x y z
#   load_dataset: v w x y z
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile datasets==5.2.0
cd "$work"
cat > train.py <<'PY'
import json
import os
import sys

import datasets

datasets.disable_progress_bars()


def rows(path, changed=None):
    with open(path) as lines:
        for line in lines:
            yield json.loads(line)


how, wanted = sys.argv[1], sys.argv[2].split()
where = {"path": "rows.jsonl"}
if how == "from_generator":
    made = datasets.Dataset.from_generator(rows, gen_kwargs=where)
elif how == "from_generator, time of change":
    made = datasets.Dataset.from_generator(
        rows, gen_kwargs={**where, "changed": os.stat("rows.jsonl").st_mtime_ns}
    )
elif how == "IterableDataset.from_generator":
    made = datasets.IterableDataset.from_generator(rows, gen_kwargs=where)
else:
    made = datasets.load_dataset("json", data_files="rows.jsonl", split="train")
found = [row["text"] for row in made]
print(f"{how}: {' '.join(found)}")
assert found == wanted, (found, wanted)
PY
run() { "$work/venv/bin/python" -W ignore train.py "$@" 2>/dev/null; }
all="a b c"
printf '{"text": "%s"}\n' $all > rows.jsonl
for how in from_generator "from_generator, time of change" IterableDataset.from_generator load_dataset; do
  run "$how" "$all"
done
sleep 1.1
new="v w x y z"
printf '{"text": "%s"}\n' $new > rows.jsonl
echo "the file is written anew"
run from_generator "$all"
for how in "from_generator, time of change" IterableDataset.from_generator load_dataset; do
  run "$how" "$new"
done
