"""What a guard saves a real model: runs on one device with one poisoned batch each.

    python -m benchmarks.guard.real --base BASE --rows ROWS.json --seeds 0 10 --to FILE  # on a GPU
    python -m benchmarks.guard.real --keep FILE ...      # anywhere: its part of docs/guard.md

Base and rows are those of benchmarks/search: SmolLM2-135M-Instruct and tokenized conversations
with their labels. Each run is made three times: without the poison and under a guard, with it and
without one, and with both. On a GPU nobody waits for what a guard asks (:mod:`sftdiag.live.ahead`),
and each run says of how many steps that is so.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import logging
import math
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, set_seed

import sftdiag
from benchmarks.gpu.ranks.bench import nan_gradient, nan_loss
from benchmarks.gpu.ranks.real import RATES, rows
from benchmarks.marked import put
from sftdiag.live.ahead import Ahead

trl: Any = importlib.import_module("trl")
Dataset: Any = importlib.import_module("datasets").Dataset

STORED = Path(__file__).with_suffix(".json")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "guard.md"
MARK = "<!-- real -->"
"""Where the table stands there."""

NAN, GRADIENT, GARBAGE = "nan-loss", "nan-gradient", "garbage"
KINDS = (NAN, GRADIENT, GARBAGE)
RUNS, STEPS, BATCH = 20, 96, 8
FIRST, LAST = 48, 87
"""Steps between which the batch is bad: the noise of the run is known by then."""

SAME, WORSE = 0.01, 0.05
AHEAD = "the host, with what came ahead"
DEVICE = (
    "the GPU itself, by the number that torch's fused Adam looks at for a loss scaler, as it was "
    "up to commit 2c957b5; since then by the host, with what came ahead, which is not measured yet"
)
"""What decided about a step: now, and in stored runs that do not say so."""


class Setting(NamedTuple):
    """A run.

    Attributes:
        kind: of the poison.
        method: what is trained.
        seed: of the order of the rows.
        step: whose batch is bad.
    """

    kind: str
    method: str
    seed: int
    step: int


class Ended(NamedTuple):
    """How a run ended.

    Attributes:
        loss: of the evaluation.
        skipped: steps.
        ahead: how many steps nobody waited for.
    """

    loss: float
    skipped: list[int]
    ahead: int


def setting(seed: int) -> Setting:
    """Return a run: each kind of poison and method in turn."""
    kind, method = KINDS[seed % len(KINDS)], tuple(RATES)[seed // len(KINDS) % len(RATES)]
    return Setting(kind, method, seed, FIRST + seed * 7 % (LAST - FIRST + 1))


def poison(trainer: Any, made: Setting) -> None:
    """Put the bad batch into a trainer."""
    if made.kind != GARBAGE:
        (nan_loss if made.kind == NAN else nan_gradient)(trainer, made.step - 1, 1)
        return
    draw, size = random.Random(made.seed), trainer.model.get_input_embeddings().num_embeddings
    kept = list(trainer.train_dataset)
    for row in kept[(made.step - 1) * BATCH : made.step * BATCH]:
        row["labels"] = [x if x == -100 else draw.randrange(size) for x in row["labels"]]
    trainer.train_dataset = Dataset.from_list(kept)


def trainer_of(made: Setting, base: str, file: Path, folder: str) -> Any:
    """Return the trainer of a run without its poison."""
    set_seed(1)
    cuda = torch.cuda.is_available()
    train, evaluated = (list(part) for part in rows(file))
    random.Random(made.seed).shuffle(train)
    if not cuda:
        # To try it: logits of 49,152 tokens take a CPU long.
        train = [row for row in train if len(row["input_ids"]) < 64]
        evaluated = evaluated[:8]
    # A row a place, so that the bad batch is met once.
    train = (train * math.ceil(STEPS * BATCH / len(train)))[: STEPS * BATCH]
    adapter = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")
    trainer = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=trl.SFTConfig(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=48 if cuda else 4,
            train_sampling_strategy="sequential",
            learning_rate=RATES[made.method],
            lr_scheduler_type="constant",
            warmup_steps=3,
            logging_steps=8,
            save_strategy="no",
            max_length=None,
            gradient_checkpointing=False,
            use_cpu=not cuda,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(evaluated),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=None if made.method == "full" else adapter,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def run(made: Setting, base: str, file: Path, *, poisoned: bool, guard: bool) -> Ended:
    """Train one run and evaluate it."""
    came = 0
    numbers = Ahead.numbers

    def counted(self: Ahead, norm: Any) -> list[float] | None:
        nonlocal came
        values = numbers(self, norm)
        came += values is not None
        return values

    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(made, base, file, folder)
        if poisoned:
            poison(trainer, made)
        callback = sftdiag.attach(trainer, guard=guard, ignore=["SFT4", "SFT5"])
        Ahead.numbers = counted  # type: ignore[method-assign]
        try:
            with redirect_stdout(io.StringIO()):
                trainer.train()
                loss = float(trainer.evaluate()["eval_loss"])
        finally:
            Ahead.numbers = numbers  # type: ignore[method-assign]
    found = [f for f in callback.report.findings if f.code == "SFT113"]
    skipped = [int(n) for f in found for n in str(f.evidence["steps_named"]).split()]
    return Ended(loss, skipped, came)


def measured(base: str, file: Path, seeds: range) -> list[dict[str, Any]]:
    """Make the runs; return what became of each."""
    results, cuda = [], torch.cuda.is_available()
    for made in map(setting, seeds):
        start = time.perf_counter()
        clean = run(made, base, file, poisoned=False, guard=True)
        bare = run(made, base, file, poisoned=True, guard=False)
        kept = run(made, base, file, poisoned=True, guard=True)
        seconds = round(time.perf_counter() - start, 1)
        results.append(
            {
                **made._asdict(),
                "clean": clean,
                "bare": bare,
                "kept": kept,
                "seconds": seconds,
                "by": AHEAD,
                "device": torch.cuda.get_device_name() if cuda else "the CPU",
            }
        )
        print(json.dumps(results[-1]), flush=True)
    return results


def table(results: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """Return what the runs say, and whether it is what is asked for."""
    same = exact = harmed = false = 0
    lines = []
    for each in results:
        clean, bare, kept = (Ended(*each[name]) for name in ("clean", "bare", "kept"))
        apart = kept.loss / clean.loss - 1
        same += abs(apart) <= SAME
        exact += kept.skipped == [each["step"]]
        harmed += not bare.loss <= (1 + WORSE) * clean.loss
        false += bool(clean.skipped)
        cells = (each["kind"], each["method"], each["step"])
        losses = f"{clean.loss:.4f} | {bare.loss:.4f} | {kept.loss:.4f} | {apart:+.2%}"
        skipped = ", ".join(map(str, kept.skipped)) or "-"
        lines.append(f"| {' | '.join(map(str, cells))} | {losses} | {skipped} | {kept.ahead} |")
    count = len(results)
    told = [
        f"SmolLM2-135M-Instruct on {results[0]['device']}, {STEPS} steps of {BATCH} rows, one bad "
        "batch in each run, gradients clipped at 1 as the trainer does by default (so that garbage "
        f"harms little). Steps were decided by {results[0].get('by', DEVICE)}. Printed by "
        "`python -m benchmarks.guard.real`.",
        "",
        f"- With a guard {same} of {count} end within {SAME:.0%} of the run without the poison; "
        f"{exact} skip exactly the bad step.",
        f"- Without one {harmed} of {count} end at NaN or worse by more than {WORSE:.0%}.",
        f"- Of {count} healthy runs under a guard {false} had a step skipped.",
        "",
        "| poison | trained | at step | eval loss without it | with it | with it and a guard "
        "| to without | skipped | steps that nobody waited for |",
        "|---|---|---|---|---|---|---|---|---|",
        *lines,
    ]
    return "\n".join(told), same >= math.ceil(0.95 * count) and not false


def publish() -> None:
    """Put what is stored into docs/guard.md."""
    text, _ = table(json.loads(STORED.read_text()))
    put(DOCS, MARK, f"## A real model on a GPU\n\n{text}\n")


def main() -> int:
    """Make or show the runs; return 1 where what the project asks for is missed."""
    parser = argparse.ArgumentParser(description="What a guard saves a real model.")
    parser.add_argument("--base", help="folder of the model")
    parser.add_argument("--rows", type=Path, help="its rows")
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, RUNS], help="first and end")
    parser.add_argument("--to", type=Path, help="keep the results in this file")
    parser.add_argument("--keep", type=Path, nargs="+", help="make no run; store these files'")
    chosen = parser.parse_args()
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    importlib.import_module("datasets").disable_progress_bars()
    if chosen.keep:
        results = [run for file in chosen.keep for run in json.loads(file.read_text())]
        STORED.write_text(json.dumps(results) + "\n")
        publish()
    elif chosen.base and chosen.rows:
        results = measured(chosen.base, chosen.rows, range(*chosen.seeds))
    else:
        parser.error("--base and --rows, or --keep")
    if chosen.to:
        chosen.to.write_text(json.dumps(results) + "\n")
    text, reached = table(results)
    print(text)
    return int(not reached)


if __name__ == "__main__":
    raise SystemExit(main())
