"""What the callback costs a run: time a log record, and tokens/s with it over without.

    python benchmarks/speed/callback.py            # prints the tables
    python benchmarks/speed/callback.py --write    # and writes docs/speed_callback.md

One process and one run: stretches of steps with the callback on and off in turn (on off, off on,
...), every step logged, so that a busy machine slows both alike. Prints the median of the ratios of
neighbouring stretches with its 95 % interval, from order statistics. Works on the CPU too, with a
smaller model, where it says so: there a stretch's own noise is above what is measured.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

import sftdiag

sys.path.insert(0, str(Path(__file__).resolve().parent))
analyze: Any = importlib.import_module("analyze")

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed_callback.md"
RECORDS = 1_000
REPEATS = 15
PAIRS = 600
"""Pairs of stretches. Short ones, and many: a machine's speed drifts within seconds."""
STRETCH = 2
"""Steps with the callback on or off."""
MOST_MS = 0.2
LEAST_TOKENS = 0.995


def record_ms(folder: Path, *, sick: bool) -> float:
    """Return the milliseconds a log record costs, with findings.jsonl and context written."""
    rows = analyze.make_rows(RECORDS, sick=sick)
    arguments = TrainingArguments(str(folder), max_steps=RECORDS, report_to="none", use_cpu=True)
    state, control = TrainerState(max_steps=RECORDS), TrainerControl()
    callback = sftdiag.DiagnosticsCallback()
    callback.on_train_begin(arguments, state, control, model=None)
    start = time.perf_counter()
    for row in rows:
        state.global_step = row["step"]
        callback.on_log(arguments, state, control, logs=row)
    return (time.perf_counter() - start) * 1000 / len(rows)


class Alternate(TrainerCallback):
    """Switches a callback on and off by stretches of steps and takes their times."""

    def __init__(self, watched: sftdiag.DiagnosticsCallback) -> None:
        self.watched = watched
        self.times: list[tuple[bool, float]] = []
        self._start = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """At the end of a stretch take its time and begin the next."""
        if state.global_step % STRETCH:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.times.append((self.watched.enabled, now - self._start))
        self.watched.enabled = len(self.times) % 4 in (0, 3)
        self._start = now


def tokens_ratios(folder: Path) -> tuple[list[float], str]:
    """Return tokens/s with the callback over without, pair by pair, and what was trained."""
    cuda = torch.cuda.is_available()
    width, layers, batch, length = (768, 12, 16, 512) if cuda else (64, 2, 4, 64)
    config = LlamaConfig(
        vocab_size=32_000 if cuda else 512,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        max_position_embeddings=length,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    ids = torch.arange(length)
    rows = [{"input_ids": (ids + k) % 500, "labels": (ids + k) % 500} for k in range(512)]
    watched = sftdiag.DiagnosticsCallback()
    alternate = Alternate(watched)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(folder),
            max_steps=(2 * PAIRS + 10) * STRETCH,
            per_device_train_batch_size=batch,
            logging_steps=1,
            bf16=cuda,
            use_cpu=not cuda,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        callbacks=[watched, alternate],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    # The first stretches warm up.
    times = alternate.times[10 : 2 * PAIRS + 10]
    ratios = []
    for first, second in zip(times[::2], times[1::2], strict=True):
        on, off = (first, second) if first[0] else (second, first)
        assert (on[0], off[0]) == (True, False)
        ratios.append(off[1] / on[1])
    size = sum(p.numel() for p in model.parameters()) / 1e6
    middle = sorted(seconds for _, seconds in times)[len(times) // 2] / STRETCH * 1000
    what = (
        f"Llama of {size:.1f} M parameters, {batch} x {length} tokens a step, {middle:.1f} ms a "
        f"step, {PAIRS} pairs of {STRETCH} steps"
    )
    return ratios, what


def main() -> int:
    """Print the tables; return 1 when a bound of the project is missed by its interval."""
    parser = argparse.ArgumentParser(description="Measures what the callback costs.")
    parser.add_argument("--write", action="store_true", help="write docs/speed_callback.md too")
    write = parser.parse_args().write
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU"
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
            middle, low, high = analyze.interval(values)
            missed += high > MOST_MS
            lines.append(f"| {name} | {middle:.4f} | {low:.4f} to {high:.4f} | {MOST_MS} |")
        ratios, what = tokens_ratios(Path(folder) / "run")
    middle, low, high = analyze.interval(ratios)
    missed += low < LEAST_TOKENS and torch.cuda.is_available()
    lines += [
        "",
        "| tokens/s with the callback over without | median | 95 % interval | at least |",
        "|---|---|---|---|",
        f"| {what} | {middle:.4f} | {low:.4f} to {high:.4f} | {LEAST_TOKENS} |",
    ]
    table = "\n".join(lines)
    print(table)
    if write:
        command = "`python benchmarks/speed/callback.py --write`"
        DOCS.write_text(f"# What the callback costs\n\nPrinted by {command}.\n\n{table}\n")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
