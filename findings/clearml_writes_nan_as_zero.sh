#!/usr/bin/env bash
# One would guess: a tracker keeps a NaN loss as NaN, or leaves it out.
# What happens: ClearML reports NaN and infinity as 0.0: the curve of a run that blew up ends at
#   the best loss there is, and cannot be told from labels that are all masked (loss exactly 0).
#   It says so once on the console, at level INFO, and nothing in the stored rows tells.
#   Logger.set_reporting_nan_value() picks another number.
# Versions: clearml 2.1.12 (offline mode), Python 3.11.
# Output seen:
#   logged [1.5, 1.25, nan, inf, 0.0] -> stored [1.5, 1.25, 0.0, 0.0, 0.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile clearml==2.1.12
cd "$work"
export HOME="$work" CLEARML_CACHE_DIR="$work/cache"
"$work/venv/bin/python" - <<'PY'
import json
import zipfile
from pathlib import Path

from clearml import Task

logged = [1.5, 1.25, float("nan"), float("inf"), 0.0]
Task.set_offline(True)
Path("requirements.txt").write_text("clearml==2.1.12\n")
Task.force_requirements_env_freeze(force=True, requirements_file="requirements.txt")
Task.force_store_standalone_script()
task = Task.init(
    project_name="findings",
    task_name="nan",
    auto_connect_frameworks=False,
    auto_connect_arg_parser=False,
    auto_resource_monitoring=False,
    auto_connect_streams=False,
)
logger = task.get_logger()
for step, loss in enumerate(logged):
    logger.report_scalar("train", "loss", loss, step)
folder = task.get_offline_mode_folder()
task.close()
stored = {}
with zipfile.ZipFile(f"{folder}.zip") as archive:
    for line in archive.read("metrics.jsonl").decode().splitlines():
        for event in json.loads(line):
            if event.get("variant") == "loss":
                stored[event["iter"]] = event["value"]
                keys = set(event)
values = [stored[step] for step in range(len(logged))]
print("logged", logged, "-> stored", values)

assert values == [1.5, 1.25, 0.0, 0.0, 0.0]
assert not [key for key in keys if "nan" in key.lower() or "inf" in key.lower()], keys
PY
