"""One run of the matrix: the trainer, its fault, and what is kept of it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    LlamaForCausalLM,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from transformers.utils import logging as transformers_logging

import sftdiag
from benchmarks.gpu.finetunes import data
from benchmarks.gpu.finetunes.held_out import held_out_loss
from benchmarks.gpu.finetunes.matrix import Spec
from benchmarks.gpu.finetunes.results import KEPT, name
from sftdiag.checks import run_checks
from sftdiag.findings import Severity
from sftdiag.rows.preflight import from_trainer
from sftdiag.trainer.context import of_trainer

trl: Any = importlib.import_module("trl")

NOT_CURVE = ("_runtime", "_per_second", "total_flos")
"""Ends of the keys of log rows that no detector reads."""


class Clock(TrainerCallback):
    """Takes the time of every step."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.seconds: dict[int, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take it."""
        self.seconds[state.global_step] = time.perf_counter() - self.begin


class StopAt(TrainerCallback):
    """Ends the first part of a run that is resumed; its checkpoint has the weights alone."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save and stop."""
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class AllMasked:
    """A collator that masks up to a response template which is in no row, as TRL's once did."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, rows: list[Any]) -> Any:
        """Collate, and mask all."""
        batch = self.collator(rows)
        batch["labels"].fill_(-100)
        return batch


class Bench:
    """The base and the questions; makes the runs.

    Attributes:
        stop_on: from which severity a watched run is stopped; None for none.
        probes: what the model of a watched run is asked; None for nothing.
    """

    stop_on: str | None = "error"
    probes: tuple[str, ...] | None = None

    def __init__(
        self, base: Path, questions: dict[str, list[data.Pair]], work: Path, *, tiny: bool
    ) -> None:
        importlib.import_module("datasets").disable_progress_bars()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.base, self.questions, self.work, self.tiny = base, questions, work, tiny
        self.cuda = torch.cuda.is_available()

    def tokenizer(self, fault: str) -> Any:
        """Return the base's tokenizer with the run's chat template."""
        tokenizer: Any = AutoTokenizer.from_pretrained(self.base)
        tokenizer.chat_template = data.template(fault)
        return tokenizer

    def warm_up(self) -> None:
        """Take some steps, so that no run's time holds the first calls, but for QLoRA's own."""
        for method in ("full", "lora"):
            spec = Spec(method=method, rows=64, eval_rows=64)
            folder = self.work / f"warm-up-{os.getpid()}"
            trainer = self.trainer(spec, folder)
            trainer.args.max_steps = 2
            trainer.train()
            trainer.evaluate()
            shutil.rmtree(folder, ignore_errors=True)

    def trainer(self, spec: Spec, folder: Path, callbacks: Sequence[TrainerCallback] = ()) -> Any:
        """Return the run's trainer."""
        set_seed(spec.seed)
        tokenizer = self.tokenizer(spec.fault)
        model = self.model(spec)
        if spec.fault == "fp16":
            model = model.half()
        if spec.fault == "frozen":
            model.requires_grad_(False)
            model.model.norm.requires_grad_(True)
        train, held_out = data.datasets(spec, self.questions, tokenizer)
        adapter = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear")
        trainer = trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(str(folder), **self.arguments(spec)),
            train_dataset=train,
            eval_dataset=held_out,
            processing_class=tokenizer,
            peft_config=None if spec.method == "full" else adapter,
            callbacks=list(callbacks),
        )
        trainer.remove_callback(PrinterCallback)
        if spec.fault == "all-masked":
            trainer.data_collator = AllMasked(trainer.data_collator)
        if spec.fault == "lora-no-gradient":
            for parameter in trainer.model.parameters():
                if parameter.requires_grad:
                    parameter.register_hook(torch.zeros_like)
        return trainer

    def model(self, spec: Spec) -> Any:
        """Return the base; packed to 4 bits, as QLoRA does, for that."""
        if spec.method != "qlora":
            return LlamaForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        make: Any = BitsAndBytesConfig
        packed = make(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        return LlamaForCausalLM.from_pretrained(
            self.base, dtype=torch.bfloat16, quantization_config=packed
        )

    def arguments(self, spec: Spec) -> dict[str, Any]:
        """Return what SFTConfig is given."""
        masked = spec.fault in ("misaligned", "eval-template", "prompt-trained")
        sampling = "group_by_length" if spec.grouped else "sequential" if spec.ordered else "random"
        return {
            "num_train_epochs": spec.epochs,
            "per_device_train_batch_size": spec.batch,
            "gradient_accumulation_steps": spec.accumulation,
            "per_device_eval_batch_size": 64,
            "learning_rate": spec.learning_rate,
            "optim": spec.optim,
            "lr_scheduler_type": spec.scheduler,
            "lr_scheduler_kwargs": {"num_cycles": 2} if "restarts" in spec.scheduler else None,
            "warmup_steps": spec.warmup,
            "train_sampling_strategy": sampling,
            "logging_steps": spec.logging_steps,
            "eval_strategy": "steps",
            "eval_steps": spec.eval_steps,
            "save_strategy": "steps",
            "save_steps": spec.eval_steps,
            "save_total_limit": KEPT,
            # Rotation spares the best one, but the run ends with its last weights.
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
            "save_only_model": spec.trap != "resumed",
            "assistant_only_loss": not masked,
            "max_length": 256,
            "bf16": self.cuda and spec.fault != "fp16",
            "use_cpu": not self.cuda,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": spec.seed,
            **({"max_steps": 6, "eval_steps": 2, "save_steps": 2} if self.tiny else {}),
        }

    def run(self, spec: Spec, *, watched: bool) -> dict[str, Any]:
        """Train, and return everything that is kept of the run."""
        folder = self.work / name(spec, watched=watched)
        shutil.rmtree(folder, ignore_errors=True)
        clock = Clock()
        trainer, callback = self._made(spec, folder, clock, watched)
        resume = None
        if spec.trap == "resumed" or spec.fault == "lost-optimizer":
            middle = trainer.args.max_steps // 2 if self.tiny else self._middle(trainer)
            trainer.add_callback(StopAt(middle))
            trainer.train()
            if trainer.state.global_step == middle:
                resume = str(folder / f"checkpoint-{middle}")
                trainer, callback = self._made(spec, folder, clock, watched)
        clock.begin = time.perf_counter() - max(clock.seconds.values(), default=0.0)
        try:
            trainer.train(resume_from_checkpoint=resume)
            error = None
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}".splitlines()[0]
        result = {
            "spec": spec.as_dict(),
            "watched": watched,
            "error": error,
            "log": [_kept(row) for row in trainer.state.log_history],
            "max_steps": trainer.state.max_steps,
            "steps": trainer.state.global_step,
            "seconds": clock.seconds.get(trainer.state.global_step),
            "times": {s: round(t, 2) for s, t in clock.seconds.items() if s % 10 == 0},
            "checkpoints": sorted(
                int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*")
            ),
            "losses": self._losses(spec, trainer),
        }
        # What sftdiag knows of the run, so that its log can be judged again.
        result["context"] = _beside(folder, "context") or of_trainer(trainer).to_dict()
        result["checked"] = (
            _beside(folder, "preflight") or run_checks(from_trainer(trainer)).to_dict()
        )
        if callback is not None:
            # Where train() fails before it begins, what attach said is all that is said.
            preflight: Any = sftdiag.preflight
            report: Any = callback.report if trainer.state.max_steps else preflight(trainer)
            result["findings"] = _findings(report)
            result["verdict"] = report.verdict
        shutil.rmtree(folder, ignore_errors=True)
        return result

    def _made(self, spec: Spec, folder: Path, clock: Clock, watched: bool) -> tuple[Any, Any]:
        trainer = self.trainer(spec, folder, [clock])
        if not watched:
            return trainer, None
        return trainer, sftdiag.attach(trainer, stop_on=self.stop_on, probes=self.probes)

    @staticmethod
    def _middle(trainer: Any) -> int:
        per_epoch = len(trainer.get_train_dataloader()) // trainer.args.gradient_accumulation_steps
        return int(per_epoch * trainer.args.num_train_epochs * 0.5)

    def _losses(self, spec: Spec, trainer: Any) -> dict[str, float | None]:
        known = self.tokenizer("")
        held = [data.tokens(pair, known, "") for pair in self.questions["wordnet"][:200]]
        return {
            "eval_loss": last_loss(trainer),
            "held_out": number(held_out_loss(trainer.model, held)),
        }


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith(NOT_CURVE)}


def last_loss(trainer: Any) -> float | None:
    """Return the last evaluation's loss; None where there is none, or it is not finite."""
    evaluated = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    return number(evaluated[-1]) if evaluated else None


def number(value: float) -> float | None:
    """Return a finite number, or None."""
    return value if isfinite(value) else None


def _beside(folder: Path, name: str) -> Any:
    """Return what the callback kept beside the log; None for a run without sftdiag."""
    file = folder / "_sftdiag" / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def _findings(report: Any) -> list[dict[str, Any]]:
    """Return what was found: by importance, with the steps, and the first cause."""
    return [
        {
            "code": finding.code,
            "name": finding.name,
            "primary": finding.id == report.primary_id,
            "worst": finding.worst.label,
            "fired": dict(finding.fired),
            "onset_step": finding.onset_step,
            "resolved_step": finding.resolved_step,
            "consequence_of": finding.consequence_of,
            "message": finding.message,
            "causes": [[cause.id, cause.status.name.lower()] for cause in finding.causes],
        }
        for finding in report.findings
        if finding.worst >= Severity.INFO
    ]
