"""Runs under the probes: what they cost in time and memory, and their curves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

import sftdiag
from benchmarks.gpu.probes.model import CUDA, Size, functions, make_model, make_tokenizer, pretrain
from benchmarks.gpu.probes.rows import answers, as_rows, collate
from sftdiag.report.text import render

Curves = dict[str, list[dict[str, Any]]]


class Meter(TrainerCallback):
    """Reads time and peak memory where the evaluation is over, or where the probes are."""

    def __init__(self) -> None:
        self.before: Meter | None = None
        self.times: list[float] = []
        self.peaks: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start to measure the evaluation's own memory."""
        if self.before is None and CUDA:
            torch.cuda.reset_peak_memory_stats()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read, and start anew for what comes next."""
        self.times.append(time.perf_counter())
        if CUDA:
            self.peaks.append(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    def seconds(self) -> list[float]:
        """Return the time from the meter before to this one, at every evaluation."""
        assert self.before is not None
        return [b - a for a, b in zip(self.before.times, self.times, strict=True)]

    def memory(self) -> float:
        """Return the largest peak over the evaluation's own."""
        assert self.before is not None
        if not self.peaks:
            return float("nan")
        return max(b / a for a, b in zip(self.before.peaks, self.peaks, strict=True))


class LaterMeter(Meter):
    """The one behind the probes."""

    def __init__(self, before: Meter) -> None:
        super().__init__()
        self.before = before


class Bench:
    """The model, and what its runs are made of."""

    def __init__(self, size: Size, folder: Path, *, pretrained: bool = True) -> None:
        self.size, self.folder = size, folder
        pairs = functions(size)
        texts = [text for _, text in pairs]
        held_out = [text for text in texts[:200] if 200 < len(text) < 600][:16]
        self.tokenizer = make_tokenizer(texts[200:20_000], size.vocabulary)
        self.model: Any = make_model(size, self.tokenizer)
        if pretrained:
            pretrain(self.model, size, self.tokenizer, texts[200:])
        self.pairs, self.texts = pairs[200:], held_out
        self.evaluation = as_rows(self.tokenizer, answers(pairs[:200], size.eval_rows))
        self.curves: Curves = {}
        self.meters: dict[str, Meter] = {}

    def run(
        self,
        name: str,
        rows: list[dict[str, list[int]]],
        model: Any,
        *,
        probes: Any = True,
        **arguments: Any,
    ) -> tuple[Any, Any]:
        """Fine-tune the model and return its trainer and, where it was watched, the callback."""
        set_seed(0)
        first = Meter()
        chosen = {
            "max_steps": self.size.steps,
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 32,
            "logging_steps": 5,
            "eval_strategy": "steps",
            "eval_steps": self.size.every,
            "save_strategy": "no",
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": 10,
            "bf16": CUDA,
            "use_cpu": not CUDA,
            "report_to": "none",
            "disable_tqdm": True,
            **arguments,
        }
        trainer = Trainer(
            model=model,
            args=TrainingArguments(str(self.folder / name), **chosen),
            train_dataset=rows,
            eval_dataset=self.evaluation,
            data_collator=collate,
            processing_class=self.tokenizer,
            callbacks=[first],
        )
        callback = None
        if probes is not None:
            asked = sftdiag.Probes(texts=self.texts) if probes is True else probes
            callback = sftdiag.attach(trainer, probes=asked)
        last = LaterMeter(first)
        trainer.add_callback(last)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        if callback is not None:
            self.meters[name] = last
        return trainer, callback

    def cost(self, name: str) -> str:
        """Return a row on what the probes of a run cost."""
        meter = self.meters[name]
        cost = f"{meter.memory():.4f}; {max(meter.seconds()):.2f} s"
        return f"| {name}: peak memory over the evaluation's own; longest time | {cost} |"

    def watch(
        self, name: str, rows: list[dict[str, list[int]]], model: Any, **arguments: Any
    ) -> Any:
        """Run, print the diagnosis, and keep the probes' curves; return the model."""
        trainer, callback = self.run(name, rows, model, **arguments)
        file = self.folder / name / "_sftdiag" / "probes.jsonl"
        probed = {row["step"]: row for row in map(json.loads, file.read_text().splitlines())}
        evaluated = {r["step"]: r for r in trainer.state.log_history if "eval_loss" in r}
        self.curves[name] = [{**evaluated.get(s, {}), **row} for s, row in sorted(probed.items())]
        print(f"\n## {name}\n\n{render(callback.report.replace(source=name), curve=False)}")
        print(table(self.curves[name]), flush=True)
        return trainer.model


COLUMNS = {
    "step": "step",
    "eval loss": "eval_loss",
    "general loss": "probe/forgetting/loss",
    "rise": "probe/forgetting/rise",
    "greedy repeats": "probe/repetitive-output/greedy",
    "sampled repeats": "probe/repetitive-output/sampled",
    "replies that end": "probe/unnatural-replies/ended",
}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the curves of a run as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = (row.get(key) for key in COLUMNS.values())
        shown = (
            "-" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells
        )
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)
