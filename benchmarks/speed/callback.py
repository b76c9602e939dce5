"""What the callback costs a run: time a log record, and tokens/s with it over without.

    python -m benchmarks.speed.callback            # prints the tables
    python -m benchmarks.speed.callback --write    # and writes docs/speed_callback.md

One process, every step logged. Stretches of steps with the callback in the trainer and without it
in blocks (with, without, without, with): a drift of the machine's speed slows both alike. A block
gives one ratio; printed are their median and its 95 % interval, from order statistics. The time
spent inside the callback is taken beside it: it is exact where a ratio's noise is not, but holds
nothing of what the trainer itself then does more slowly. On the CPU it trains smaller models for
fewer blocks, to try it: there a block's own noise is above what is measured.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

import sftdiag
from benchmarks.speed import alternating
from benchmarks.speed.logs import make_rows
from benchmarks.speed.measuring import ratio

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed_callback.md"
RECORDS = 1_000
REPEATS = 15
BLOCKS = 60
"""Blocks of four stretches."""
WARM_UP_BLOCKS = 3
MOST_MS = 0.2
LEAST_TOKENS = 0.995


def record_ms(folder: Path, *, sick: bool) -> float:
    """Return the milliseconds a log record costs, with findings.jsonl and context written."""
    rows = make_rows(RECORDS, sick=sick)
    arguments = TrainingArguments(str(folder), max_steps=RECORDS, report_to="none", use_cpu=True)
    state, control = TrainerState(max_steps=RECORDS), TrainerControl()
    callback = sftdiag.DiagnosticsCallback()
    callback.on_train_begin(arguments, state, control, model=None)
    start = time.perf_counter()
    for row in rows:
        state.global_step = int(row["step"])
        callback.on_log(arguments, state, control, logs=row)
    return (time.perf_counter() - start) * 1000 / len(rows)


class Size(NamedTuple):
    """What is trained: a Llama, the rows of a step, and the steps of a stretch."""

    name: str
    hidden_size: int
    layers: int
    vocab_size: int
    batch: int
    length: int
    stretch: int
    least: float | None


ON_A_GPU = (
    Size("a fine-tune", 1536, 16, 32_000, 8, 1024, 4, LEAST_TOKENS),
    Size("a small model", 768, 12, 32_000, 16, 512, 8, None),
)
"""The bound is held to the size people train on such a card; the other shows what is left of it
where a step takes no longer than the trainer needs to launch it."""

ON_THE_CPU = (
    Size("a tiny model", 128, 4, 512, 4, 64, 4, None),
    Size("a tinier model", 64, 2, 512, 4, 64, 8, None),
)


class Measured(NamedTuple):
    """A run: what was trained, each block's ratio of tokens/s, and ms a step and inside of it."""

    what: str
    ratios: list[float]
    inside_ms: float
    step_ms: float


def measure_run(folder: Path, size: Size, blocks: int) -> Measured:
    """Train such a model with the callback coming and going."""
    config = alternating.llama(
        size.vocab_size, size.hidden_size, 4 * size.hidden_size, size.layers, size.length
    )
    steps = 4 * (blocks + WARM_UP_BLOCKS) * size.stretch + 1
    watched = sftdiag.DiagnosticsCallback()
    trainer = alternating.llama_trainer(
        folder, config, batch=size.batch, steps=steps, logging_steps=1, callbacks=[watched]
    )
    alternate = alternating.Alternate(trainer, watched, size.stretch)
    trainer.train()
    stretches = alternate.stretches[4 * WARM_UP_BLOCKS :]
    ratios = alternating.block_ratios(stretches)
    step_ms = statistics.median(s.seconds for s in stretches) / size.stretch * 1000
    inside_ms = statistics.mean(s.inside for s in stretches if s.watched) / size.stretch * 1000
    what = (
        f"{size.name}: {alternating.of_model(trainer, size.batch)} and {step_ms:.1f} ms a step, "
        f"{blocks} blocks of 4 x {size.stretch} steps"
    )
    return Measured(what, ratios, inside_ms, step_ms)


def main() -> int:
    """Print the tables; return 1 when a bound of the project is missed by its interval."""
    parser = argparse.ArgumentParser(description="Measures what the callback costs.")
    parser.add_argument("--write", action="store_true", help="write docs/speed_callback.md too")
    write = parser.parse_args().write
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    cuda = torch.cuda.is_available()
    sizes, blocks = (ON_A_GPU, BLOCKS) if cuda else (ON_THE_CPU, BLOCKS // 5)
    device = torch.cuda.get_device_name() if cuda else "the CPU"
    lines = [
        f"On {device}, torch {torch.__version__}.",
        "",
        "| a log record | ms, median | 95 % interval | at most |",
        "|---|---|---|---|",
    ]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, sick in (("healthy", False), ("overfitting", True)):
            values = [record_ms(Path(folder) / f"{name}-{n}", sick=sick) for n in range(REPEATS)]
            middle, low, high = ratio(values)
            missed += high > MOST_MS
            lines.append(f"| {name} | {middle:.4f} | {low:.4f} to {high:.4f} | {MOST_MS} |")
        runs = [(size.least, measure_run(Path(folder) / size.name, size, blocks)) for size in sizes]
    lines += [
        "",
        "| tokens/s with the callback over without | median | 95 % interval | at least "
        "| inside the callback |",
        "|---|---|---|---|---|",
    ]
    for least, run in runs:
        middle, low, high = ratio(run.ratios)
        missed += least is not None and low < least
        share = run.inside_ms / run.step_ms
        lines.append(
            f"| {run.what} | {middle:.4f} | {low:.4f} to {high:.4f} | {least or '-'} "
            f"| {run.inside_ms:.3f} ms a step, {share:.2%} of it |"
        )
    table = "\n".join(lines)
    print(table)
    if write:
        command = "`python -m benchmarks.speed.callback --write`"
        DOCS.write_text(f"# What the callback costs\n\nPrinted by {command}.\n\n{table}\n")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
