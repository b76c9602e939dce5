#!/usr/bin/env bash
# One would guess: progress.csv, which Ray Tune writes beside result.json, holds what was reported.
# What happens: its columns are those of the first report. A metric that comes later, as eval_loss does
#   after the first rows of train loss, is in no line of it and nothing says so; result.json has it.
# Versions: ray 2.60.0, Python 3.11.
# Output seen:
#   reported: loss in 6 of 6 rows, eval_loss in 2
#   result.json: eval_loss in 2 of 6 rows
#   progress.csv: 6 rows, loss True, eval_loss False
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RAY_USAGE_STATS_ENABLED=0 RAY_DEDUP_LOGS=0
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile "ray[tune]==2.60.0"
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null | tail -n 3
import csv
import json
from pathlib import Path

import ray
from ray import tune


def train(config):
    for step in range(1, 7):
        row = {"step": step, "loss": 2.0 / step}
        if step % 3 == 0:
            row["eval_loss"] = 2.5 / step
        tune.report(row)


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
kept = tune.RunConfig(name="run", storage_path=str(Path.cwd() / "results"), verbose=0)
tune.Tuner(train, run_config=kept).fit()
(lines,) = Path("results").rglob("result.json")
(table,) = Path("results").rglob("progress.csv")
rows = [json.loads(line) for line in lines.read_text().splitlines()]
with table.open() as file:
    columns = list(csv.DictReader(file))
evaluated = sum("eval_loss" in row for row in rows)
held = {name: name in columns[0] for name in ("loss", "eval_loss")}
print("reported: loss in 6 of 6 rows, eval_loss in 2")
print(f"result.json: eval_loss in {evaluated} of {len(rows)} rows")
print(f"progress.csv: {len(columns)} rows, loss {held['loss']}, eval_loss {held['eval_loss']}")
ray.shutdown()

assert len(rows) == len(columns) == 6 and evaluated == 2
assert held == {"loss": True, "eval_loss": False}
PY
