"""The labelled sets: public runs, injected faults and generated runs.

The labelled logs are no part of the project; they are read from ``$SFTDIAG_CORPUS`` or
``../shared/corpus``. Of a run's specification only what its user would know is read.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accuracy.healthy import TRAPS, healthy
from benchmarks.accuracy.healthy_kinds import KINDS, healthy_of_kind
from benchmarks.accuracy.runs import CODES, Run
from benchmarks.accuracy.sick import LADDERS, sick
from sftdiag.context import RunContext, adapter_method
from sftdiag.sources import open_run

SEED = 3

GPU_VOCABULARY = 16_384

_TINY = {
    "all_masked": "mask-all",
    "eval_other_dist": "eval-shift",
    "lr_1e-9": "lr-low",
    "lr_zero": "lr-low",
    "nan_step41": "nan",
    "nan_step41_log5": "nan",
    "nan_step41_nofilter": "nan",
    "only_final_norm": "frozen",
    "overfit": "overfit",
    "plain_trainer_all_masked": "mask-all",
    "zero_grad": "frozen",
}
_TINY_HEALTHY = ("healthy", "dft", "group_by_length", "log10_grad_acc", "lr_x10", "unmasked_prompt")


def corpus() -> Path:
    """Return the folder of the labelled logs."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    return Path(os.environ.get("SFTDIAG_CORPUS", beside))


def real() -> list[Run]:
    """Return the public runs; a fold is a repository."""
    return labelled(corpus() / "real")


def labelled(folder: Path) -> list[Run]:
    """Return the runs of a folder that holds labels.csv and runs/, as the public sets do."""
    runs = []
    with open(folder / "labels.csv", newline="") as file:
        for row in csv.DictReader(file):
            log = open_run(folder / "runs" / f"{row['id']}.json")
            label = row["primary"]
            if label == "disputed":
                others = (row.get("alternatives") or "").split("|")
                label = next((other for other in others if other in CODES), label)
            onset = int(float(row["onset_a"])) if row.get("onset_a") else None
            rows = [dict(entry) for entry in log.entries]
            kind = row.get("repo") or row["id"]
            warn = row["warn_expected"]
            runs.append(Run(row["id"], kind, label, warn, rows, log.context, onset))
    return runs


LEARNED_NOTHING, LEARNED = 0.02, 0.3
"""Test accuracy below which a fine-tune of the PEFT set is sick, and above which it is healthy."""

PEFT_VOCABULARY = 128_256
"""Of Llama 3.2."""


def peft() -> list[Run]:
    """Return the fine-tunes of one model by many methods: 20 train losses, no evaluation.

    The accuracy is the answer, so neither that of the test nor that of the validation is told.
    """
    runs = []
    for item in json.loads((corpus() / "peft" / "metamathqa.json").read_text()):
        method = item["method"]
        context = RunContext(
            method="full" if method == "full" else adapter_method(method, None),
            vocab_size=PEFT_VOCABULARY,
            learning_rate=item["learning_rate"],
            lr_scheduler_type=item["scheduler"],
            max_steps=item["max_steps"],
            per_device_train_batch_size=item["batch_size"],
            trainable_parameters=item["trainable"],
            total_parameters=item["total"],
        )
        accuracy = item["test_accuracy"]
        sick, well = accuracy < LEARNED_NOTHING, accuracy >= LEARNED
        warn = "yes" if sick else "no" if well else "either"
        label = "flat_loss" if sick else "healthy"
        rows = [dict(entry) for entry in item["log_history"]]
        runs.append(Run(item["name"], method, label, warn, rows, context, rows[0]["step"]))
    return runs


def gpu() -> list[Run]:
    """Return the runs with an injected fault; a fold is a fault."""
    runs = []
    for path in sorted((corpus() / "gpu").glob("*.spec.json")):
        spec = json.loads(path.read_text())
        name = path.name.removesuffix(".spec.json")
        log = open_run(path.with_name(f"{name}.json"))
        warn = {"yes": "yes", "healthy": "no"}.get(spec["curve_visible"], "either")
        rows = [dict(entry) for entry in log.entries]
        context = log.context.filled_from(_facts(spec))
        runs.append(Run(name, spec["label"], spec["label"], warn, rows, context))
    return runs


def _facts(spec: dict[str, Any]) -> RunContext:
    """Return what a user knows of a run; label, harm and the like are answers."""
    return RunContext(
        method="lora" if spec.get("lora") else "full",
        vocab_size=GPU_VOCABULARY,
        precision="fp16" if spec.get("fp16") else "bf16",
        learning_rate=spec.get("lr"),
        lr_scheduler_type=spec.get("sched"),
        num_train_epochs=spec.get("epochs"),
        per_device_train_batch_size=spec.get("bs"),
        gradient_accumulation_steps=spec.get("ga"),
        train_samples=spec.get("n"),
        optim=spec.get("optim"),
        max_grad_norm=spec.get("clip"),
        lora_r=spec.get("lora") or None,
        lora_dropout=spec.get("dropout"),
    )


def tiny() -> list[Run]:
    """Return the runs of a tiny random model."""
    runs = []
    for path in sorted((corpus() / "tiny").glob("*.json")):
        name = path.stem
        if name not in _TINY and name not in _TINY_HEALTHY:
            continue
        log = open_run(path)
        label, warn = (_TINY[name], "yes") if name in _TINY else ("healthy", "no")
        rows = [dict(entry) for entry in log.entries]
        runs.append(Run(name, label, label, warn, rows, log.context))
    return runs


class History(NamedTuple):
    """A history of OverfitGuard: losses of every epoch, and whether it overfits."""

    run: Run
    best_step: int
    length: int


def overfitguard() -> Iterator[History]:
    """Return the simulated histories as runs that log and evaluate once an epoch."""
    with gzip.open(corpus() / "overfitguard" / "simulated.json.gz", "rt") as file:
        items = json.load(file)
    for item in items:
        rows: list[dict[str, Any]] = []
        pairs = zip(item["train_loss"], item["eval_loss"], strict=True)
        for step, (loss, eval_loss) in enumerate(pairs):
            rows.append({"step": step, "epoch": float(step), "loss": loss})
            rows.append({"step": step, "epoch": float(step), "eval_loss": eval_loss})
        overfits = item["label"] == "overfit"
        label, warn = ("overfit", "yes") if overfits else ("healthy", "no")
        losses = item["eval_loss"]
        best = min(range(len(losses)), key=losses.__getitem__)
        context = RunContext(max_steps=len(losses))
        run = Run(item["name"], item["group"], label, warn, rows, context, best)
        yield History(run, best, len(losses))


def generated_healthy(count: int) -> Iterator[Run]:
    """Return so many healthy runs of both generators."""
    return (healthy_in_turn(number) for number in range(count))


def healthy_in_turn(number: int) -> Run:
    """Return the healthy run of a place in the turns: every trap, then every kind."""
    turn, place = divmod(number, len(TRAPS) + len(KINDS))
    if place < len(TRAPS):
        return healthy(SEED, turn * len(TRAPS) + place)
    return healthy_of_kind(SEED, turn * len(KINDS) + place - len(TRAPS))


def generated_sick(count: int) -> Iterator[Run]:
    """Return so many runs of each disease and size."""
    return (
        sick(SEED, disease, size, number)
        for disease, ladder in LADDERS.items()
        for size in ladder.sizes
        for number in range(count)
    )
