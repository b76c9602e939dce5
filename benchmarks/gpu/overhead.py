"""What it costs a run that attach sees every step and which rows it was made of.

    python benchmarks/gpu/overhead.py            # prints the table
    python benchmarks/gpu/overhead.py --write    # and writes docs/speed_steps.md

One process a size; rows logged every tenth step. Stretches of ten steps with all that attach does
(the callback, the losses and norms taken from the trainer, the row numbers) and without any of it,
in blocks (with, without, without, with): a drift of the machine's speed slows both alike. A block
gives one ratio; printed are their median and its 95 % interval, from order statistics. What is
inside the callback's events and in the wrapped methods is timed beside it. Under 150 s on one H200;
on the CPU it trains tiny models, to try it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import sftdiag
from sftdiag.live import row_log

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))
interval: Any = importlib.import_module("analyze").interval

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed_steps.md"
LEAST_TOKENS = 0.995
STRETCH = 10
"""Steps: one log row falls into each stretch."""
WARM_UP_BLOCKS = 1
FEWEST, MOST = 8, 30
"""Blocks; as many as fit into the seconds, and eight for an interval at all."""


class Size(NamedTuple):
    """What is trained: a Llama and the rows of a step; and the seconds to measure it."""

    name: str
    hidden: int
    between: int
    layers: int
    vocabulary: int
    batch: int
    length: int
    seconds: float


ON_A_GPU = (
    Size("0.7 B", 1536, 6144, 16, 32_000, 8, 1024, 52.0),
    Size("135 M", 576, 1536, 30, 49_152, 8, 512, 44.0),
)
ON_THE_CPU = (Size("tiny", 64, 256, 2, 512, 4, 64, 8.0),)


class Stretch(NamedTuple):
    """Some steps: whether they were watched, their seconds, and those spent on watching."""

    watched: bool
    seconds: float
    inside: float


class Alternate(TrainerCallback):
    """Takes all that attach does off a trainer and puts it back by stretches, and times both."""

    def __init__(self, trainer: Trainer, watched: sftdiag.DiagnosticsCallback, size: Size) -> None:
        assert watched.steps is not None
        self.stretches: list[Stretch] = []
        self._trainer, self._signals = trainer, watched.steps
        self._handler = trainer.callback_handler
        self._with = [*self._handler.callbacks, self]
        self._without = [callback for callback in self._with if callback is not watched]
        self._handler.callbacks = self._with
        self._start = self._inside = self._began = 0.0
        self._size = size
        for owner, names in (
            (watched, [name for name in dir(watched) if name.startswith("on_")]),
            (self._signals, ["_trained", "_clipped"]),
        ):
            for name in names:
                setattr(owner, name, self._timed(getattr(owner, name)))
        self._numbers = row_log._numbers
        self._plain: dict[str, Any] = {}

    def _timed(self, method: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> None:
            start = time.perf_counter()
            method(*args, **kwargs)
            self._inside += time.perf_counter() - start

        return timed

    def _switch(self, *, on: bool) -> None:
        """Give the trainer its own methods back, or those that attach put there."""
        self._handler.callbacks = self._with if on else self._without
        row_log._numbers = self._numbers if on else (lambda batch: batch)
        pairs = ((self._trainer, "training_step"), (self._trainer.accelerator, "clip_grad_norm_"))
        for owner, name in pairs:
            if on:
                vars(owner)[name] = self._plain.pop(name)
            else:
                self._plain[name] = vars(owner).pop(name)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """At the end of a stretch take its time and begin the next."""
        if state.global_step % STRETCH:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self._began = self._began or now
        here = self._handler.callbacks is self._with
        self.stretches.append(Stretch(here, now - self._start, self._inside))
        goes_on = len(self.stretches) % 4 in (0, 3)
        if goes_on is not here:
            self._switch(on=goes_on)
        blocks, rest = divmod(len(self.stretches), 4)
        done = blocks - WARM_UP_BLOCKS
        if rest == 0 and done >= FEWEST and now - self._began > self._size.seconds:
            control.should_training_stop = True
        self._start, self._inside = time.perf_counter(), 0.0


def measure(folder: Path, size: Size) -> tuple[str, list[float], float, float]:
    """Train; return what was trained, each block's ratio, ms inside a step and ms a step."""
    cuda = torch.cuda.is_available()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.between,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // 64,
        num_key_value_heads=size.hidden // 64,
        max_position_embeddings=size.length,
    )
    with torch.device("cuda" if cuda else "cpu"):
        model = LlamaForCausalLM(config)
    ids = torch.arange(size.length)
    rows = [{"input_ids": (ids + k) % 500, "labels": (ids + k) % 500} for k in range(500)]
    steps = 4 * (MOST + WARM_UP_BLOCKS) * STRETCH
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(folder),
            max_steps=steps,
            per_device_train_batch_size=size.batch,
            logging_steps=STRETCH,
            bf16=cuda,
            use_cpu=not cuda,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        # One epoch: the start of another would fall into the same stretch of every block.
        train_dataset=rows * (1 + steps * size.batch // len(rows)),
    )
    trainer.remove_callback(PrinterCallback)
    alternate = Alternate(trainer, sftdiag.attach(trainer, ignore=["SFT4", "SFT5"]), size)
    trainer.train()
    stretches = alternate.stretches[4 * WARM_UP_BLOCKS :]
    blocks = [stretches[i : i + 4] for i in range(0, len(stretches) - 3, 4)]
    ratios = []
    for first, second, third, fourth in blocks:
        assert [s.watched for s in (first, second, third, fourth)] == [True, False, False, True]
        ratios.append((second.seconds + third.seconds) / (first.seconds + fourth.seconds))
    watched = [s for s in stretches if s.watched]
    inside = statistics.mean(s.inside for s in watched) / STRETCH * 1000
    step = statistics.median(s.seconds for s in stretches) / STRETCH * 1000
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    told = (
        f"{size.name}: Llama of {parameters:,.1f} M parameters, {size.batch} x {size.length} tokens"
    )
    return f"{told}, {step:.1f} ms a step, {len(ratios)} blocks", ratios, inside, step


def main() -> int:
    """Print the table; return 1 where the interval reaches below the bound on a GPU."""
    parser = argparse.ArgumentParser(description="Measures what seeing every step costs.")
    parser.add_argument("--write", action="store_true", help="write docs/speed_steps.md too")
    write = parser.parse_args().write
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else "the CPU"
    lines = [
        f"On {device}, torch {torch.__version__}, bf16, a log row every {STRETCH} steps.",
        "",
        "| tokens/s with attach over without | median | 95 % interval | at least | on watching |",
        "|---|---|---|---|---|",
    ]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for size in ON_A_GPU if cuda else ON_THE_CPU:
            what, ratios, inside, step = measure(Path(folder) / size.name, size)
            middle, low, high = interval(ratios)
            missed += cuda and low < LEAST_TOKENS
            lines.append(
                f"| {what} | {middle:.4f} | {low:.4f} to {high:.4f} | {LEAST_TOKENS} "
                f"| {inside:.3f} ms a step, {inside / step:.2%} of it |"
            )
    table = "\n".join(lines)
    print(table)
    if write:
        command = "`python benchmarks/gpu/overhead.py --write`"
        title = "# What it costs to see every step"
        DOCS.write_text(f"{title}\n\nPrinted by {command}.\n\n{table}\n")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
