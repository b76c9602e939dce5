"""The callback on a GPU: what it finds while a run trains, and what it costs.

    python benchmarks/gpu/watch.py

Runs the faults of examples/finetune.py in bf16 under ``stop_on="error"``, then times 300 steps that
log at every step with the callback and without, in turn, and compares the losses of both. Works on
the CPU too, where it says so.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

import sftdiag

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
finetune: Any = importlib.import_module("finetune")

STEPS = 300
PAIRS = 5


def arguments() -> dict[str, Any]:
    """Return what makes the example's runs use the GPU, where there is one."""
    cuda = torch.cuda.is_available()
    return {"use_cpu": not cuda, "bf16": cuda}


def watch(folder: Path) -> None:
    """Print one line a fault: where it was stopped, and by what."""
    print("| fault | steps | verdict | primary finding | first cause |")
    print("|---|---|---|---|---|")
    for name in finetune.FAULTS:
        trainer = finetune.make_trainer(name, folder / name, **arguments())
        callback = sftdiag.attach(trainer, stop_on="error")
        trainer.train()
        report, state = callback.report, trainer.state
        found = report.primary
        shown = f"{found.code} {found.name} | {found.causes[0].id}" if found else "- | -"
        print(f"| {name} | {state.global_step} of {state.max_steps} | {report.verdict} | {shown} |")


def run_once(folder: Path, *, watched: bool) -> tuple[float, list[float]]:
    """Return the seconds of training and the losses of one healthy run."""
    trainer = finetune.make_trainer(
        "none", folder, dropout=0.1, max_steps=STEPS, logging_steps=1, **arguments()
    )
    if watched:
        sftdiag.attach(trainer)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return float(trainer.state.log_history[-1]["train_runtime"]), losses


def cost(folder: Path) -> None:
    """Print the ratio of the times with and without the callback, and whether losses agree."""
    run_once(folder / "warm", watched=True)
    ratios, same = [], []
    for index in range(PAIRS):
        plain, losses = run_once(folder / f"plain-{index}", watched=False)
        with_callback, watched_losses = run_once(folder / f"watched-{index}", watched=True)
        ratios.append(with_callback / plain)
        same.append(losses == watched_losses)
    low, high = min(ratios), max(ratios)
    print(
        f"\ntime with the callback over without, {STEPS} steps, every step logged, {PAIRS} pairs:"
    )
    print(f"median {median(ratios):.3f} ({low:.3f} to {high:.3f})")
    print(f"losses bit-identical in {sum(same)} of {PAIRS} pairs")


def main() -> int:
    """Run both parts."""
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU"
    print(f"on {name}, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        watch(Path(folder))
        cost(Path(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
