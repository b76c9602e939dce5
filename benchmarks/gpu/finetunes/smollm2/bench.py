"""Makes the runs of the second base: the trainer of a spec, with its fault, and what is kept."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)

from benchmarks.gpu.finetunes.held_out import held_out_loss
from benchmarks.gpu.finetunes.matrix import NONE
from benchmarks.gpu.finetunes.smollm2 import faults, rows, sources, templates
from benchmarks.gpu.finetunes.smollm2.specs import Tune
from benchmarks.gpu.finetunes.train import AllMasked, Bench, last_loss, number
from sftdiag.sources import every_step

trl: Any = importlib.import_module("trl")

LENGTH = 512
BATCH = 16
"""Rows of an evaluation's batch: a vocabulary of 49,152 takes memory, and several runs share it."""

CUT = {"plain": 72, "messages": 64}
"""max_length where it cuts the answers, by form."""

TINY: dict[str, Any] = {
    "max_steps": 2,
    "eval_steps": 2,
    "logging_steps": 1,
    "per_device_train_batch_size": 1,
}


def bench(base: Path, text: Path, work: Path, tiny: bool) -> Tunes:
    """Return the bench of a worker."""
    return Tunes(base, sources.read(text), work, tiny=tiny)


class Tunes(Bench):
    """The second base and its conversations; makes the runs, which are watched to their end."""

    stop_on = None
    probes = ("answers-of-other-rows",)

    def __init__(self, base: Path, found: rows.Sources, work: Path, *, tiny: bool) -> None:
        super().__init__(base, {}, work, tiny=tiny)
        self.sources = found
        self._steps: list[every_step.Step] = []

    def warm_up(self) -> None:
        """Take some steps, so that no run's time holds the first calls."""
        for method in ("full", "lora"):
            folder = self.work / f"warm-up-{method}-{id(self)}"
            trainer = self.trainer(Tune(method=method, rows=32, eval_rows=32), folder)
            trainer.args.max_steps = 2
            trainer.train()
            trainer.evaluate()
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, spec: Any, *, watched: bool) -> dict[str, Any]:
        """Train, and return everything that is kept of the run."""
        result = super().run(spec, watched=watched)
        for finding in result.get("findings", ()):
            # What was said, and when, is compared with what the log says; words are not.
            del finding["message"], finding["causes"]
        return {
            **result,
            "stop_on": self.stop_on,
            "every_step": every_step.encoded(self._steps),
            "every_step_columns": list(every_step.Step._fields),
        }

    def trainer(self, spec: Any, folder: Path, callbacks: Sequence[TrainerCallback] = ()) -> Any:
        """Return the run's trainer."""
        set_seed(spec.seed)
        known: Any = AutoTokenizer.from_pretrained(self.base)
        known.chat_template = templates.of(spec, known.chat_template)
        small = replace(spec, rows=40, eval_rows=min(spec.eval_rows, 2)) if self.tiny else spec
        train, evaluated = rows.datasets(small, self.sources, known)
        adapter = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear")
        odd: dict[str, Any] = {}
        if spec.fault == "accumulation":
            odd["compute_loss_func"] = faults.mean_of_micro_batch
        if spec.kind == "collator":
            odd["data_collator"] = faults.PaddingCollator(
                known.pad_token_id, masked=spec.fault == "end-of-turn"
            )
        trainer = trl.SFTTrainer(
            model=faults.spoil_model(spec, self.model(spec)),
            args=trl.SFTConfig(str(folder), **self.arguments(spec)),
            train_dataset=train,
            eval_dataset=evaluated,
            processing_class=known,
            peft_config=None if spec.method == "full" else adapter,
            callbacks=list(callbacks),
            **odd,
        )
        trainer.remove_callback(PrinterCallback)
        if spec.fault == "all-masked":
            trainer.data_collator = AllMasked(trainer.data_collator)
        faults.spoil_trainer(spec, trainer)
        return trainer

    def model(self, spec: Any) -> Any:
        """Return the base."""
        return AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)

    def arguments(self, spec: Any) -> dict[str, Any]:
        """Return what SFTConfig is given."""
        given = super().arguments(spec)
        packed = spec.form == "packed"
        if not spec.eval_rows:
            given["eval_strategy"] = "no"
        if spec.form == "pairs" and spec.fault == "prompt-trained":
            given["completion_only_loss"] = False
        for unused in ("save_steps", "save_total_limit", "metric_for_best_model"):
            del given[unused]
        return {
            **given,
            "per_device_eval_batch_size": BATCH,
            "save_strategy": "no",
            "greater_is_better": None,
            "assistant_only_loss": spec.form in ("messages", "packed")
            and spec.fault not in ("prompt-trained", "eval-template", "wrong-template"),
            "max_length": CUT[spec.form] if spec.fault == "answers-cut" else LENGTH,
            "packing": packed,
            "eval_packing": False if packed else None,
            "bf16": self.cuda and spec.fault not in faults.UNMIXED,
            **dict(spec.more),
            **(TINY if self.tiny else {}),
        }

    def _losses(self, spec: Any, trainer: Any) -> dict[str, float | None]:
        self._steps = every_step.read(trainer.args.output_dir)
        right = replace(spec, fault=NONE, kind="", eval_source="", eval_rows=rows.HELD)
        known: Any = AutoTokenizer.from_pretrained(self.base)
        known.chat_template = templates.MARKED
        held = rows.held_out(right, self.sources)[: 2 if self.tiny else None]
        answers = [rows.right(right, turns, known) for turns in held]
        return {
            "eval_loss": last_loss(trainer),
            "held_out": number(held_out_loss(trainer.model, answers, BATCH)),
        }
