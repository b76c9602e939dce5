"""Turns a trainer_state.json into what else would have been kept of the run.

The console's text is written as the Trainer's ProgressCallback writes it: each row through tqdm,
the bar redrawn behind it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

State = Mapping[str, Any]


def console(state: State, path: Path, *, strings: bool, bars: bool = True) -> Path:
    """Write the console's text: transformers 4 prints numbers, 5 strings of four digits."""
    rows = state["log_history"]
    last = max((row.get("step") or 0 for row in rows), default=0)
    total = int(state.get("max_steps") or last)
    lines = [bar(0, total)] if bars else []
    for row in rows:
        lines.append(repr(_printed(row) if strings else _numbers(row)))
        if bars:
            lines.append(bar(int(row.get("step") or 0), total))
    path.write_text("\n".join(lines) + "\n")
    return path


def bar(done: int, total: int) -> str:
    """Return a bar of tqdm, after the carriage return that redraws it."""
    share = done / max(1, total)
    return f"\r{share:4.0%}|{'#' * int(10 * share):10}| {done}/{total} [00:10<00:10,  1.00it/s]"


def _numbers(row: State) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "step"}


def _printed(row: State) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "step"}
    return {n: f"{v:.4g}" if isinstance(v, float) else v for n, v in shown.items()}


def jsonl(state: State, path: Path) -> Path:
    """Write a row a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in state["log_history"]))
    return path


def table(state: State, path: Path) -> Path:
    """Write all rows under the columns of them all."""
    rows = state["log_history"]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def tensorboard(state: State, folder: Path) -> Path:
    """Write event files as the Trainer's TensorBoardCallback does: float32, by split."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for number, row in enumerate(state["log_history"]):
        for name, value in row.items():
            if name == "step" or not isinstance(value, (int, float)) or isinstance(value, bool):
                continue
            tag = f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}"
            small = value if math.isfinite(value) and abs(value) < 3e38 else float(value)
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=small)])
            step = int(row.get("step") or 0)
            writer.add_event(Event(wall_time=1.0 + number, step=step, summary=summary))
    writer.close()
    return folder
