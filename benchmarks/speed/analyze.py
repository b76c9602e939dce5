"""How long ``sftdiag analyze`` takes, as a ratio to what every Python program pays.

    python benchmarks/speed/analyze.py            # prints the table
    python benchmarks/speed/analyze.py --write    # and writes docs/speed.md

Whole processes, run in turn (A B A B ...), so that a busy machine slows both alike. Prints the
median of the ratios of neighbouring runs with its 95 % interval, from order statistics.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
ANALYZE = [sys.executable, "-m", "sftdiag", "analyze"]
BARE = [sys.executable, "-c", "pass"]
LOAD = "import json, sys\nwith open(sys.argv[1], encoding='utf-8') as file:\n    json.load(file)"
IN_PROCESS = (
    "import json, sys, time\n"
    "start = time.perf_counter()\n"
    "with open(sys.argv[1], encoding='utf-8') as file:\n    json.load(file)\n"
    "print(time.perf_counter() - start)"
)


def make_rows(records: int, *, sick: bool = False) -> list[dict[str, float]]:
    """Return a log with evaluations every 50 records; a sick one overfits."""
    draw = random.Random(records)
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


def write_log(path: Path, records: int, *, sick: bool = False) -> None:
    """Write a trainer_state.json of such rows."""
    rows = make_rows(records, sick=sick)
    path.write_text(json.dumps({"log_history": rows, "max_steps": records}, indent=2))


def seconds(command: Sequence[str]) -> float:
    """Return the wall time of one whole process."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command} failed: {done.stderr.decode()}")
    return elapsed


def json_load_seconds(path: Path) -> float:
    """Return the time of json.load alone, inside a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS, str(path)], capture_output=True, check=True, text=True
    )
    return float(done.stdout)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the 95 % interval of it from order statistics."""
    ordered, n = sorted(values), len(values)
    reach = math.ceil(0.98 * math.sqrt(n))
    low, high = max(0, n // 2 - reach), min(n - 1, n // 2 + reach)
    return ordered[n // 2], ordered[low], ordered[high]


def measure(folder: Path) -> list[tuple[str, list[float], float | None]]:
    """Return each comparison's name, ratios and the most that the project allows."""
    small, sick, large = (folder / f"{name}.json" for name in ("small", "sick", "large"))
    write_log(small, 1_000)
    write_log(sick, 1_000, sick=True)
    write_log(large, 100_000)
    seconds([*ANALYZE, str(sick)])

    cases: list[tuple[str, list[float], float | None]] = []
    for path, arguments in ((small, ()), (sick, ()), (sick, ("--format", "json"))):
        command = [*ANALYZE, str(path), *arguments]
        ratios = [seconds(command) / seconds(BARE) for _ in range(31)]
        what = "overfitting" if path is sick else "healthy"
        form = "json" if arguments else "text"
        cases.append((f"1,000 records, {what}, {form} / `python -c pass`", ratios, 6.0))
    command = [*ANALYZE, str(large)]
    ratios = [seconds(command) / json_load_seconds(large) for _ in range(9)]
    cases.append(("100,000 records, text / `json.load` of the file alone", ratios, 10.0))
    bare_load = [sys.executable, "-c", LOAD, str(large)]
    ratios = [seconds(command) / seconds(bare_load) for _ in range(9)]
    cases.append(("100,000 records, text / a process that only loads it", ratios, None))
    return cases


def main() -> int:
    """Print the table; return 1 when a limit of the project is missed."""
    parser = argparse.ArgumentParser(description="Times sftdiag analyze.")
    parser.add_argument("--write", action="store_true", help="write docs/speed.md too")
    write = parser.parse_args().write
    # Installed packages have their bytecode; so does this one, whatever the environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    lines = ["| whole process | ratio, median | 95 % interval | at most |", "|---|---|---|---|"]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, ratios, limit in measure(Path(folder)):
            middle, low, high = interval(ratios)
            missed += limit is not None and middle > limit
            lines.append(f"| {name} | {middle:.1f} | {low:.1f} to {high:.1f} | {limit or '-'} |")
    table = "\n".join(lines)
    print(table)
    if write:
        page = f"# Speed\n\nPrinted by `python benchmarks/speed/analyze.py --write`.\n\n{table}\n"
        DOCS.write_text(page)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
