#!/usr/bin/env bash
# One would guess: a run that was closed is found by aim.Repo(...).iter_runs() and query_metrics(),
#   and a metric's values come in the order of their steps.
# What happens: both go by an index that only the server (aim up) or aim storage reindex fills.
#   Before that they see no run, and Run(hash, read_only=True), for a hash that list_all_runs()
#   does know, has no metrics and no parameters, in silence: a script that picks the best of
#   several runs picks from none. Once indexed, values.sparse_numpy() are sorted by a hash of the
#   step: the last of them is not the last of the run.
# Versions: aim 3.29.1, numpy 2.4.6, Python 3.11.
# Output seen:
#   closed: list_all_runs 1, iter_runs 0, query_metrics 0, metrics of the run by its hash 0
#   indexed: list_all_runs 1, iter_runs 1, query_metrics 1, metrics of the run by its hash 1
#   learning_rate of the run: None and 0.001
#   values: 2.6 2.4 1.0 2.2 ... 2.8 1.8 where 2.9 is the first and 1.0 the last
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile aim==3.29.1 numpy==2.4.6
cd "$work"
cat > track.py <<'PY'
import aim

run = aim.Run(repo=".", system_tracking_interval=None, log_system_params=False)
run["learning_rate"] = 1e-3
for step in range(1, 21):
    run.track(3 - 0.1 * step, name="loss", step=step)
run.close()
PY
cat > look.py <<'PY'
import json

import aim

repo = aim.Repo(".")
(known,) = repo.list_all_runs()
queried = [
    metric
    for runs in repo.query_metrics("metric.name == 'loss'", report_mode=0).iter_runs()
    for metric in runs
]
run = aim.Run(known, repo=repo, read_only=True)
found = {
    "list_all_runs": 1,
    "iter_runs": len(list(repo.iter_runs())),
    "query_metrics": len(queried),
    "metrics of the run by its hash": len(list(run.metrics())),
}
values = [round(float(value), 1) for value in queried[0].values.sparse_numpy()[1]] if queried else []
print(json.dumps({"found": found, "values": values, "learning_rate": run.get("learning_rate")}))
PY
mkdir repo
cd repo
"$work/venv/bin/python" ../track.py
"$work/venv/bin/python" ../look.py > ../closed.json
"$work/venv/bin/aim" storage --repo . reindex -y > /dev/null 2>&1
"$work/venv/bin/python" ../look.py > ../indexed.json
cd ..
python3 - <<'PY'
import json

closed, indexed = (json.load(open(f"{name}.json")) for name in ("closed", "indexed"))
for name, seen in (("closed", closed), ("indexed", indexed)):
    print(f"{name}:", ", ".join(f"{what} {count}" for what, count in seen["found"].items()))
values = indexed["values"]
print("learning_rate of the run:", closed["learning_rate"], "and", indexed["learning_rate"])
print("values:", *values[:4], "...", *values[-2:], "where 2.9 is the first and 1.0 the last")

assert list(closed["found"].values()) == [1, 0, 0, 0] and closed["learning_rate"] is None
assert list(indexed["found"].values()) == [1, 1, 1, 1] and indexed["learning_rate"] == 1e-3
assert sorted(values) == [round(3 - 0.1 * step, 1) for step in range(20, 0, -1)]
assert values != sorted(values, reverse=True)
PY
