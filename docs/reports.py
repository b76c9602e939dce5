"""Five reports, each of a log made on the spot; docs/generate.py writes them to docs/reports.md."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from math import exp, log, nan
from typing import Any, NamedTuple

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.monitor import Monitor
from sftdiag.report import text

STEPS = 60
VOCABULARY = 151_936

Row = dict[str, Any]


class Shown(NamedTuple):
    """A report of the page: its title, what the log is of, the log, what is known of the run."""

    title: str
    about: str
    loss: Callable[[int], float]
    known: RunContext = RunContext()
    other: Callable[[int], Row] = lambda step: {}
    language: str = "en"


def _learning(step: int) -> float:
    return 1.0 + 1.2 * exp(-step / 15)


SHOWN = (
    Shown(
        "A learning rate of 0",
        "2e-5 was asked for, a scheduler that was made for no steps gives 0",
        lambda step: 2.2,
        RunContext(learning_rate=2e-5, lr_scheduler_type="linear"),
        lambda step: {"learning_rate": 0.0},
    ),
    Shown(
        "A loss of ln V",
        "a model whose weights were not loaded, at a rate that hardly moves them",
        lambda step: log(VOCABULARY),
        RunContext(vocab_size=VOCABULARY),
        lambda step: {"learning_rate": 1e-5, "noise": 0.002},
    ),
    Shown(
        "A sum over 32 accumulation steps",
        "a trainer that adds the losses of its accumulation steps up",
        lambda step: 32 * _learning(step),
        RunContext(gradient_accumulation_steps=32, vocab_size=VOCABULARY),
        language="zh",
    ),
    Shown(
        "Labels with padding",
        "nine tokens in ten of the labels are padding, which is learned within an epoch",
        lambda step: 13.4 * exp(-step / 4) + 0.0009,
        RunContext(vocab_size=VOCABULARY, packing=False),
        lambda step: {"epoch": step / STEPS},
    ),
    Shown(
        "Skipped steps",
        "fp16 without a scale that fits: every gradient is NaN, every loss finite",
        lambda step: 2.2,
        RunContext(precision="fp16"),
        lambda step: {"grad_norm": nan},
    ),
)


def _rows(shown: Shown) -> Iterator[Row]:
    draw = random.Random(0)
    for step in range(1, STEPS + 1):
        row: Row = {"step": step, "learning_rate": 2e-5 * (1 - step / STEPS), "grad_norm": 1.2}
        row |= shown.other(step)
        noise = row.pop("noise", 0.03)
        yield {**row, "loss": shown.loss(step) * draw.gauss(1.0, noise)}


def report_of(shown: Shown) -> str:
    """Return what sftdiag prints of such a run."""
    known = shown.known.replace(max_steps=STEPS)
    settings = Settings(lang=shown.language)
    monitor = Monitor(known, settings, source="run")
    for row in _rows(shown):
        monitor.feed_entry(row)
    return text.render(monitor.report(), curve=False).strip()


def page() -> str:
    """Return the page below its note."""
    lines = ["# Reports\n", "What `sftdiag analyze` prints of five runs, without the curves."]
    for shown in SHOWN:
        lines += ["", f"## {shown.title}\n", f"The log: {shown.about}.\n"]
        lines += ["```", report_of(shown), "```"]
    return "\n".join(lines) + "\n"
