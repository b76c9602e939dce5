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


def rows(state: State, path: Path) -> Path:
    """Write the rows as one JSON list."""
    path.write_text(json.dumps(state["log_history"]))
    return path


def litgpt(state: State, path: Path) -> Path:
    """Write litgpt's metrics.csv: the step is the micro-batch, no gradient norm."""
    rows = []
    for row in state["log_history"]:
        if "loss" in row:
            kept = {"loss": row["loss"], "learning_rate": row["learning_rate"], "iter_time": 0.1}
            rows.append(
                {"epoch": int(row["epoch"]), "iter": row["step"], "step": row["step"], **kept}
            )
        elif "eval_loss" in row:
            rows.append({"step": row["step"], "val_loss": row["eval_loss"]})
    return table({"log_history": rows}, path)


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


def ms_swift(state: State, path: Path) -> Path:
    """Write ms-swift's logging.jsonl: eight decimals, the step before the plan."""
    last = _last(state)
    with open(path, "w") as file:
        for row in state["log_history"]:
            kept = {n: round(v, 8) if isinstance(v, float) else v for n, v in row.items()}
            kept["global_step/max_steps"] = f"{kept.pop('step')}/{last}"
            file.write(json.dumps(kept) + "\n")
    return path


def llama_factory(state: State, path: Path) -> Path:
    """Write LLaMA-Factory's trainer_log.jsonl: no gradient norm, the loss of evaluations alone."""
    names = {"loss": "loss", "eval_loss": "eval_loss", "learning_rate": "lr", "epoch": "epoch"}
    last = _last(state)
    with open(path, "w") as file:
        for row in state["log_history"]:
            kept = {other: row[name] for name, other in names.items() if name in row}
            kept = {"current_steps": row["step"], "total_steps": last, **kept}
            file.write(json.dumps(kept) + "\n")
    return path


def torchtune(state: State, path: Path) -> Path:
    """Write torchtune's DiskLogger: no epoch, no evaluation."""
    rows = [row for row in state["log_history"] if "loss" in row]
    lines = [
        f"Step {row['step']} | loss:{row['loss']} lr:{row['learning_rate']} "
        f"grad_norm:{row['grad_norm']} \n"
        for row in rows
    ]
    path.write_text("".join(lines))
    return path


def megatron(state: State, path: Path) -> Path:
    """Write Megatron's console lines, evaluations on lines of their own."""
    last = _last(state)
    lines = []
    for row in state["log_history"]:
        if "loss" in row:
            lines.append(
                f" iteration {row['step']:8}/{last:8} | learning rate: {row['learning_rate']:.6E} |"
                f" lm loss: {row['loss']:.6E} | loss scale: 1.0 | grad norm: {row['grad_norm']:.3f}"
                " | number of nan iterations:   0 |"
            )
        elif "eval_loss" in row:
            value = f"lm loss value: {row['eval_loss']:.6E}"
            lines.append(f" validation loss at iteration {row['step']} | {value} |")
    path.write_text("\n".join(lines) + "\n")
    return path


def mlx(state: State, path: Path) -> Path:
    """Write mlx-lm's console lines: an evaluation before the train loss of its iteration."""
    lines = [f"Starting training..., iters: {_last(state)}"]
    for row in sorted(state["log_history"], key=lambda row: (row["step"], "loss" in row)):
        if "loss" in row:
            lines.append(
                f"Iter {row['step']}: Train loss {row['loss']:.3f}, Learning Rate "
                f"{row['learning_rate']:.3e}, It/sec 2.100, Tokens/sec 99.100, Trained Tokens 900"
            )
        elif "eval_loss" in row:
            lines.append(f"Iter {row['step']}: Val loss {row['eval_loss']:.3f}, Val took 1.100s")
    path.write_text("\n".join(lines) + "\n")
    return path


def notebook(state: State, path: Path) -> Path:
    """Write a notebook with the table that the Trainer shows: a row an evaluation."""
    body, loss = "", "No log"
    for row in state["log_history"]:
        if "loss" in row:
            loss = f"{row['loss']:.6f}"
        elif "eval_loss" in row:
            shown = (row["step"], loss, f"{row['eval_loss']:.6f}")
            body += f"<tr>{''.join(f'<td>{cell}</td>' for cell in shown)}</tr>"
    names = ("Step", "Training Loss", "Validation Loss")
    head = "".join(f"<th>{name}</th>" for name in names)
    html = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    output = {"output_type": "display_data", "data": {"text/html": [html]}}
    cells = [{"cell_type": "code", "outputs": [output]}]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    return path


def wandb_csv(state: State, path: Path) -> Path:
    """Write what W&B exports of a run: its own count of log calls beside the Trainer's step."""
    rows = []
    for number, row in enumerate(state["log_history"]):
        named = {
            f"eval/{n[5:]}" if n.startswith("eval_") else f"train/{n}": v
            for n, v in row.items()
            if n != "step"
        }
        rows.append({"Step": number, "train/global_step": row["step"], **named})
    return table({"log_history": rows}, path)


def _last(state: State) -> int:
    return max(int(row.get("step") or 0) for row in state["log_history"])
