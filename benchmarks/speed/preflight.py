"""What the checks before step 1 cost a run: their share of ``trainer.train()``, and CPU seconds.

    python -m benchmarks.speed.preflight            # prints the table
    python -m benchmarks.speed.preflight --write    # and writes docs/speed_preflight.md

Each run is a process of its own: measured is the first look, with everything that it loads. It
trains the tiny model of examples/finetune.py on the CPU: on any larger one the share is smaller.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

DOCS = ROOT / "docs" / "speed_preflight.md"
STEPS = 300
RUNS = 7
LARGE = 50_000
AT_MOST = 0.03
ROWS, TOKENS, PROMPT = 256, 1000, 200
LETTERS, WORDS = 60, 30_000
"""Distinct tokens of rows that are told apart by letters, and of rows that are by words."""

SECONDS = 0.5
"""CPU time at most for such rows, the first look of a process with all that it loads."""


def one_run() -> dict[str, float]:
    """Train once with attach; return the seconds of the checks and of train()."""
    import sftdiag
    from sftdiag.rows.preflight import RunChecks

    finetune: Any = importlib.import_module("finetune")
    spent: list[float] = []

    class Timed(RunChecks):
        def at_start(self, *args: Any) -> Any:
            start = time.perf_counter()
            outcome = super().at_start(*args)
            spent.append(time.perf_counter() - start)
            return outcome

    with tempfile.TemporaryDirectory() as folder:
        trainer = finetune.make_trainer("none", folder, max_steps=STEPS)
        callback = sftdiag.attach(trainer)
        callback.checks = Timed(callback.settings, trainer)
        start = time.perf_counter()
        trainer.train()
        return {"checks": sum(spent), "train": time.perf_counter() - start}


def large_set() -> dict[str, float]:
    """Look at a trainer of many rows; return the seconds and the rows read."""
    import torch

    import sftdiag

    finetune: Any = importlib.import_module("finetune")

    class Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
        asked = 0

        def __len__(self) -> int:
            return LARGE

        def __getitem__(self, index: int) -> dict[str, list[int]]:
            self.asked += 1
            ids = [5 + index * step % 50 for step in range(1, 200)]
            return {"input_ids": ids, "labels": ids}

    with tempfile.TemporaryDirectory() as folder:
        trainer = finetune.make_trainer("none", folder)
        trainer.train_dataset = rows = Rows()
        start = time.perf_counter()
        look: Any = sftdiag.preflight
        look(trainer)
        return {"seconds": time.perf_counter() - start, "rows": rows.asked}


def long_rows(vocabulary: int) -> dict[str, float]:
    """Look at rows of a thousand tokens; return the CPU seconds of it."""
    import sftdiag

    finetune: Any = importlib.import_module("finetune")
    datasets: Any = importlib.import_module("datasets")
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = finetune.make_trainer("none", folder, eval_strategy="no")
        known = trainer.processing_class
        end, user, assistant = known.convert_tokens_to_ids(["<|end|>", "<|user|>", "<|assistant|>"])
        rows = []
        for _ in range(ROWS):
            said = [assistant + 1 + draw.randrange(vocabulary) for _ in range(TOKENS - 4)]
            asked, answered = said[:PROMPT], said[PROMPT:]
            ids = [user, *asked, end, assistant, *answered, end]
            masked = PROMPT + 3
            rows.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
        trainer.train_dataset, trainer.eval_dataset = datasets.Dataset.from_list(rows), None
        start = time.process_time()
        look: Any = sftdiag.preflight
        look(trainer)
        return {"seconds": time.process_time() - start}


def measured(what: str) -> dict[str, float]:
    """Return what a fresh process measures."""
    command = [sys.executable, __file__, "--one", what]
    # As for any user: what was compiled once is kept.
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=compiled)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


ONE: dict[str, Callable[[], dict[str, float]]] = {
    "run": one_run,
    "large": large_set,
    "letters": partial(long_rows, LETTERS),
    "words": partial(long_rows, WORDS),
}


def main() -> int:
    """Print the table; return 1 when the checks take more than the project allows."""
    parser = argparse.ArgumentParser(description="Times the checks before step 1.")
    parser.add_argument("--write", action="store_true", help="write docs/speed_preflight.md too")
    parser.add_argument("--one", choices=ONE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(ONE[options.one]()))
        return 0
    from benchmarks.speed.measuring import ratio

    runs = [measured("run") for _ in range(RUNS)]
    middle, low, high = ratio([run["checks"] / run["train"] for run in runs])
    large = measured("large")
    looks = {
        what: [measured(what)["seconds"] for _ in range(RUNS)] for what in ("letters", "words")
    }
    long = {what: ratio(seconds) for what, seconds in looks.items()}
    table = "\n".join(
        [
            "| what | median | 95 % interval | at most |",
            "|---|---|---|---|",
            f"| the checks' share of `train()`, {STEPS} steps of a tiny model "
            f"| {middle:.1%} | {low:.1%} to {high:.1%} | {AT_MOST:.0%} |",
            f"| rows read of {LARGE:,} | {large['rows']:,.0f} | - | - |",
            *(
                f"| CPU time for {ROWS} rows of {TOKENS:,} tokens, {count:,} distinct ones "
                f"| {long[what][0]:.2f} s | {long[what][1]:.2f} to {long[what][2]:.2f} s "
                f"| {SECONDS} s |"
                for what, count in (("letters", LETTERS), ("words", WORDS))
            ),
        ]
    )
    print(table)
    if options.write:
        note = "Printed by `python -m benchmarks.speed.preflight --write`."
        DOCS.write_text(f"# Speed of the checks before step 1\n\n{note}\n\n{table}\n")
    return int(middle > AT_MOST or max(seconds for seconds, *_ in long.values()) > SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
