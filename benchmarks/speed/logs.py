"""Logs to measure on: a run as TRL writes it, and folders of many."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

RUN_RECORDS = 200
"""Records of each run of a fleet."""

SICK = 5
"""One run of so many overfits."""


def make_rows(records: int, *, sick: bool = False, seed: int = 0) -> list[dict[str, float]]:
    """Return a log with evaluations every 50 records; a sick one overfits."""
    draw = random.Random(records + seed)
    rows: list[dict[str, float]] = []
    for step in range(1, records + 1):
        level = 1.0 + 2.0 / (1 + 20 * step / records)
        rows.append(
            {
                "entropy": level * draw.gauss(1, 0.02),
                "epoch": step / records,
                "grad_norm": draw.lognormvariate(0, 0.2),
                "learning_rate": 2e-5 * (1 - step / (records + 1)),
                "loss": level * draw.gauss(1, 0.05),
                "mean_token_accuracy": 0.7 + 0.1 * step / records,
                "num_tokens": 4096.0 * step,
                "step": step,
            }
        )
        if step % 50 == 0:
            rows.append(
                {
                    "eval_loss": 1.2 + abs(step / records - 0.3) if sick else level + 0.05,
                    "eval_runtime": 1.0,
                    "epoch": step / records,
                    "step": step,
                }
            )
    return rows


def write_log(path: Path, records: int, *, sick: bool = False, seed: int = 0) -> Path:
    """Write a trainer_state.json of such rows; return it."""
    rows = make_rows(records, sick=sick, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"log_history": rows, "max_steps": records}, indent=2))
    return path


def write_fleet(root: Path, runs: int) -> list[Path]:
    """Write so many runs below a folder, a hundred a folder; return their logs."""
    return [
        write_log(
            root / f"{run // 100:03}" / f"{run:05}" / "trainer_state.json",
            RUN_RECORDS,
            sick=run % SICK == 0,
            seed=run,
        )
        for run in range(runs)
    ]


def written(kind: str, path: Path, number: int) -> None:
    """Write a log, a sick one or a fleet in a process of its own.

    What a process holds counts into the peak of those that it starts.
    """
    command = [sys.executable, "-m", "benchmarks.speed.logs", kind, str(path), str(number)]
    subprocess.run(command, check=True)


def main() -> None:
    """Write what the arguments say."""
    kind, path, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind == "fleet":
        write_fleet(path, number)
    else:
        write_log(path, number, sick=kind == "sick")


if __name__ == "__main__":
    main()
