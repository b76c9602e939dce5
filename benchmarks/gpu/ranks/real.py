"""A real model on two ranks, with step signals and, where it can act, the guard.

    python -m benchmarks.gpu.ranks real --base BASE --rows ROWS.json --out FOLDER

Base and rows are those of benchmarks/search: SmolLM2-135M-Instruct and tokenized conversations
with their labels. A suite of cases for :mod:`~benchmarks.gpu.ranks.worker`.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

import sftdiag
from benchmarks.gpu import overhead
from benchmarks.gpu.ranks.bench import Bench, nan_loss
from benchmarks.gpu.ranks.cases_apart import Seen
from benchmarks.gpu.ranks.real_runs import ABOUT, AT, BASE, METHODS, ROWS, STEPS
from benchmarks.speed import alternating

trl: Any = importlib.import_module("trl")
Dataset: Any = importlib.import_module("datasets").Dataset

EVERY = 4
"""Steps between log rows: what happens at a step is seen by the step signals alone."""

RATES = {"full": 2e-5, "lora": 2e-4}
"""Learning rates, by method."""

LENGTH, WIDTH = 1024, 32
"""Tokens of a row and rows of a rank's step where time is taken: the GPU is what is waited for."""

BLOCKS, SECONDS = 60, 40.0
"""Blocks of the measurement at most, and its seconds."""

STRETCH = 5
"""Steps of a stretch; a log row falls into each."""


class RealBench(Bench):
    """One rank of the cases of one backend, with the base."""

    def trainer(self, *, folder: str | None = None, method: str = "full", **arguments: Any) -> Any:
        """Return a trainer of the healthy run."""
        where = self.begin(folder)
        # With ZeRO-3's settings of the trainer before, the weights would be loaded as shards.
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
        set_seed(1)
        base = os.environ[BASE]
        chosen = {
            "max_steps": STEPS,
            "per_device_train_batch_size": 8 if self.cuda else 1,
            "per_device_eval_batch_size": 48 if self.cuda else 4,
            "learning_rate": RATES[method],
            "lr_scheduler_type": "cosine",
            "warmup_steps": 3,
            "logging_steps": EVERY,
            "eval_strategy": "steps",
            "eval_steps": STEPS // 2,
            "save_strategy": "no",
            "max_length": None,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 1,
            **self.spread(),
            **arguments,
        }
        importlib.import_module("datasets").disable_progress_bars()
        adapter = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")
        train, evaluated = rows(Path(os.environ[ROWS]))
        if not self.cuda:
            # To try it: logits of 49,152 tokens take a CPU long.
            train, evaluated = train[: 2 * STEPS], evaluated[:8]
        trainer = trl.SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=trl.SFTConfig(str(where), **chosen),
            train_dataset=Dataset.from_list(train),
            eval_dataset=Dataset.from_list(evaluated),
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=None if method == "full" else adapter,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def train(self, trainer: Any, callback: Any = None, **options: Any) -> dict[str, Any]:
        """Train and return what this rank saw of it, with the evaluations."""
        seen = super().train(trainer, callback, **options)
        history = trainer.state.log_history
        evaluated = [[row["step"], row["eval_loss"]] for row in history if "eval_loss" in row]
        return {**seen, "eval": evaluated}


bench = RealBench
"""What trains the cases."""


@cache
def rows(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the training and the evaluation rows of both sources."""
    stored = json.loads(file.read_text())
    sources = [stored[name] for name in sorted(stored) if name != "pad"]
    train, evaluated = (
        [row for source in sources for row in source[part]] for part in ("train", "eval")
    )
    return train, evaluated


def plain(method: str) -> Callable[[Bench], Seen]:
    """Return the case of a healthy run without sftdiag, twice."""
    return lambda bench: [bench.train(bench.trainer(method=method)) for _ in range(2)]


def watched(method: str) -> Callable[[Bench], Seen]:
    """Return the case of the same with it, and the guard."""

    def case(bench: Bench) -> Seen:
        trainer = bench.trainer(method=method)
        return [bench.train(trainer, sftdiag.attach(trainer, guard=True, stop_on="warning"))]

    return case


def poisoned(method: str) -> Callable[[Bench], Seen]:
    """Return the case in which one batch of rank 1 has a NaN loss, and the guard is on."""

    def case(bench: Bench) -> Seen:
        trainer = bench.trainer(method=method)
        if bench.rank == 1:
            nan_loss(trainer, AT, 1)
        return [bench.train(trainer, sftdiag.attach(trainer, guard=True))]

    return case


def broken(method: str) -> Callable[[Bench], Seen]:
    """Return the case in which all batches of rank 1 have one, from a step on."""

    def case(bench: Bench) -> Seen:
        trainer = bench.trainer(method=method)
        if bench.rank == 1:
            nan_loss(trainer, AT)
        return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]

    return case


class Alternate(overhead.Alternate):
    """Ends on all ranks at one step.

    Attributes:
        device: of this rank.
    """

    device: Any = None

    def is_enough(self, now: float) -> bool:
        """Ask the first rank's clock, between two stretches."""
        if len(self.stretches) % 4:
            return False
        enough = torch.tensor(float(super().is_enough(now)), device=self.device)
        torch.distributed.broadcast(enough, 0)
        return bool(enough)


def cost(guard: bool) -> Callable[[Bench], Seen]:
    """Return the case that measures what watching costs, in blocks of with and without."""

    def case(bench: Bench) -> Seen:
        stretch = STRETCH if bench.cuda else 1
        most = 4 * (BLOCKS + overhead.WARM_UP_BLOCKS) * stretch + 1
        arguments: dict[str, Any] = {
            "max_steps": most,
            "logging_steps": stretch,
            "eval_strategy": "no",
        }
        width = WIDTH if bench.cuda else 1
        trainer = bench.trainer(**arguments, per_device_train_batch_size=width)
        long = joined(rows(Path(os.environ[ROWS]))[0], LENGTH if bench.cuda else 64)
        # One epoch: the start of another would fall into one stretch.
        trainer.train_dataset = long * math.ceil(most * width * bench.world / len(long))
        callback = sftdiag.attach(trainer, guard=guard, ignore=["SFT4", "SFT5"])
        alternate = Alternate(trainer, callback, SECONDS if bench.cuda else 1.0, stretch)
        alternate.device = trainer.args.device
        trainer.train()
        alternate.check()
        stretches = alternate.stretches[4 * overhead.WARM_UP_BLOCKS :]
        seconds = sorted(stretch.seconds for stretch in stretches)
        inside = [stretch.inside for stretch in stretches if stretch.watched]
        return [
            {
                "step": trainer.state.global_step,
                "ratios": alternating.block_ratios(stretches),
                "step_ms": 1000 * seconds[len(seconds) // 2] / stretch,
                "inside_ms": 1000 * sum(inside) / len(inside) / stretch,
                "batch": f"{width} x {len(long[0]['input_ids'])} tokens a rank",
            }
        ]

    return case


def joined(short: list[dict[str, Any]], length: int) -> list[dict[str, Any]]:
    """Return rows of one length, of short ones behind one another."""
    columns = {
        name: [token for row in short for token in row[name]] for name in ("input_ids", "labels")
    }
    count = len(columns["input_ids"]) // length
    return [
        {name: tokens[n * length : (n + 1) * length] for name, tokens in columns.items()}
        for n in range(count)
    ]


class Case(NamedTuple):
    """What does a case."""

    run: Callable[[Bench], Seen]


CASES = {
    **{
        f"{name}-{method}": Case(make(method))
        for name, make in zip(ABOUT, (plain, watched, poisoned, broken), strict=True)
        for method in METHODS
    },
    "cost-guard": Case(cost(guard=True)),
    "cost-steps": Case(cost(guard=False)),
}
"""By name."""
