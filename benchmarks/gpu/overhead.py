"""What it costs a run that attach sees every step and which rows it was made of.

    python -m benchmarks.gpu.overhead            # prints the table
    python -m benchmarks.gpu.overhead --write    # and writes docs/speed_steps.md

One process a size; rows logged every tenth step. Stretches of ten steps with all that attach does
(the callback, the losses and norms taken from the trainer, the row numbers) and without any of it,
in blocks (with, without, without, with): a drift of the machine's speed slows both alike. A block
gives one ratio; printed are their median and its 95 % interval, from order statistics. What is
inside the callback's events and in the wrapped methods is timed beside it. Under 150 s on one H200;
on the CPU it trains tiny models, to try it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import Trainer

import sftdiag
from benchmarks.speed import alternating
from benchmarks.speed.measuring import ratio
from sftdiag.live import row_log

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


class Alternate(alternating.Alternate):
    """Takes all that attach does off a trainer and puts it back by stretches, and times both."""

    def __init__(
        self,
        trainer: Trainer,
        watched: sftdiag.DiagnosticsCallback,
        seconds: float,
        stretch: int = STRETCH,
    ) -> None:
        assert watched.steps is not None
        super().__init__(trainer, watched, stretch)
        self.time(watched.steps, ["_trained", "_clipped"])
        self._trainer = trainer
        self._began = 0.0
        self._seconds = seconds
        self._watched = watched
        self._numbers = row_log._numbers
        self._plain: dict[str, Any] = {}

    def switch(self, *, on: bool) -> None:
        """Give the trainer its own methods back, or those that attach put there, too."""
        super().switch(on=on)
        row_log._numbers = self._numbers if on else (lambda batch: batch)
        pairs = ((self._trainer, "training_step"), (self._trainer.accelerator, "clip_grad_norm_"))
        for owner, name in pairs:
            if on:
                vars(owner)[name] = self._plain.pop(name)
            else:
                self._plain[name] = vars(owner).pop(name)

    def check(self) -> None:
        """Raise where the steps were not seen to the end: what was measured is something else."""
        steps = self._watched.steps
        if steps is None or not self._watched.sees_steps:
            raise AssertionError(f"the steps were not followed: {steps.off if steps else None}")

    def is_enough(self, now: float) -> bool:
        """After whole blocks, once there are enough and the time is over."""
        self._began = self._began or now
        blocks, rest = divmod(len(self.stretches), 4)
        done = blocks - WARM_UP_BLOCKS
        return rest == 0 and done >= FEWEST and now - self._began > self._seconds


def measure(folder: Path, size: Size) -> tuple[str, list[float], float, float]:
    """Train; return what was trained, each block's ratio, ms inside a step and ms a step."""
    config = alternating.llama(size.vocabulary, size.hidden, size.between, size.layers, size.length)
    steps = 4 * (MOST + WARM_UP_BLOCKS) * STRETCH + 1
    trainer = alternating.llama_trainer(
        folder, config, batch=size.batch, steps=steps, logging_steps=STRETCH
    )
    watched = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"])
    alternate = Alternate(trainer, watched, size.seconds)
    trainer.train()
    alternate.check()
    stretches = alternate.stretches[4 * WARM_UP_BLOCKS :]
    ratios = alternating.block_ratios(stretches)
    inside = statistics.mean(s.inside for s in stretches if s.watched) / STRETCH * 1000
    step = statistics.median(s.seconds for s in stretches) / STRETCH * 1000
    told = f"{size.name}: {alternating.of_model(trainer, size.batch)}"
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
            middle, low, high = ratio(ratios)
            missed += cuda and low < LEAST_TOKENS
            lines.append(
                f"| {what} | {middle:.4f} | {low:.4f} to {high:.4f} | {LEAST_TOKENS} "
                f"| {inside:.3f} ms a step, {inside / step:.2%} of it |"
            )
    table = "\n".join(lines)
    print(table)
    if write:
        command = "`python -m benchmarks.gpu.overhead --write`"
        title = "# What it costs to see every step"
        DOCS.write_text(f"{title}\n\nPrinted by {command}.\n\n{table}\n")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
