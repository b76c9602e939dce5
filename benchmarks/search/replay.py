"""A trainer that trains nothing: each step, log row and evaluation is a stored run's.

The search's own code runs on it as on any trainer: what it watches, prunes, compares and chooses
is what it would have met in the stored run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import expm1, log, nan
from types import SimpleNamespace
from typing import Any

import torch
from peft import LoraConfig
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.search import cells
from benchmarks.search.cells import Cell
from benchmarks.search.table import Table
from sftdiag.live.attach import attach
from sftdiag.live.trials import NAN_EVALUATION, Rivals
from sftdiag.searches.outcome import COMPLETE, FAILED, PRUNED, Outcome, Point, RowLosses
from sftdiag.tuning.prospects import HOPELESS, cannot_become_best

WIDTH = 8
"""Tokens of a training row that stands for a stored one."""

VOCABULARY = 1000


def maker(table: Table) -> Callable[[Mapping[str, Any]], Trainer]:
    """Return a ``make_trainer`` whose trainers replay a table's runs."""

    def make_trainer(settings: Mapping[str, Any]) -> Trainer:
        return Replay(table, cell_of(table.source, settings), settings)

    return make_trainer


def cell_of(source: str, settings: Mapping[str, Any]) -> Cell:
    """Return the cell of a search's settings."""
    return Cell(
        source,
        float(settings["learning_rate"]),
        int(settings["num_train_epochs"]),
        int(settings["r"]),
        cells.MICRO * int(settings["gradient_accumulation_steps"]),
        int(settings["seed"]),
    )


def run_trial(
    table: Table,
    make_trainer: Any,
    settings: Mapping[str, Any],
    folder: str,
    rivals: Callable[[], Rivals],
    moved: Any = None,
) -> Outcome:
    """Return what a trial of a search comes to by its stored evaluations, without a trainer.

    It ends at an evaluation that is not finite, or where its curve cannot become the best.
    """
    cell = cell_of(table.source, settings)
    if not table.has(cell):
        # A second seed that is not stored: the search is told that it failed, and pays for it.
        return Outcome(FAILED, steps=cell.steps, last_step=cell.steps, reason="not stored")
    run = table.run(cell)
    curve: list[Point] = []
    for step, loss in zip(cell.evaluated_at, run["eval_loss"], strict=True):
        curve.append(Point(step, cell.epochs * step / cell.steps, nan if loss is None else loss))
        known = Outcome(PRUNED, curve=tuple(curve), steps=cell.steps, last_step=step, log_rows=step)
        if loss is None:
            return known.replace(cause=NAN_EVALUATION[0], cause_name=NAN_EVALUATION[1])
        others = rivals()
        shares = [(point.step / cell.steps, point.loss) for point in curve]
        if cannot_become_best(shares, others.curves, others.best):
            return known.replace(cause=HOPELESS, cause_name=HOPELESS)
    rows = RowLosses(tuple(run["rows"]), tuple(table.tokens), len(table.tokens))
    return known.replace(state=COMPLETE, loss=curve[-1].loss, rows=rows)


class Rows(torch.nn.Module):
    """A model that knows of each evaluation row which loss it had, and says so by its logits."""

    def __init__(self, losses: list[float], adapter: LoraConfig) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(is_encoder_decoder=False, vision_config=None)
        self.peft_config = {"default": adapter}
        self.losses = losses

    def can_generate(self) -> bool:
        """Pass for a language model, which the rows' losses are asked of."""
        return True

    def generate(self, **kwargs: Any) -> None:
        """Never called: no probe is asked for."""
        raise NotImplementedError

    def forward(self, input_ids: Any, labels: Any, **kwargs: Any) -> Any:
        """Return logits whose cross-entropy at each token is the row's loss."""
        logits = torch.zeros(*labels.shape, VOCABULARY)
        for row, ids in zip(logits, input_ids, strict=True):
            # A token's loss is ln(1 + n e^x) where all n others have the logit x, and it has 0.
            row[:] = log(expm1(self.losses[int(ids[0])]) / (VOCABULARY - 1))
            row[:-1].scatter_(1, ids[1:, None], 0.0)
        return SimpleNamespace(logits=logits)


class Replay(Trainer):
    """A trainer over a stored run.

    Args:
        table: of which the run is.
        cell: the run.
        settings: what ``make_trainer`` was given.
    """

    def __init__(self, table: Table, cell: Cell, settings: Mapping[str, Any]) -> None:
        self.table, self.cell = table, cell
        # The first trainer of a search is asked what it is, not trained.
        self.stored = table.run(cell) if table.has(cell) else None
        self.evaluations = 0
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(VOCABULARY, (cells.ROWS, WIDTH), generator=draw).tolist()
        others = torch.randint(VOCABULARY, (len(table.tokens), cells.LENGTH), generator=draw)
        held = [
            [number, *row[:count]]
            for number, (count, row) in enumerate(zip(table.tokens, others.tolist(), strict=True))
        ]
        losses = [nan if x is None else x for x in (self.stored or {}).get("rows", ())]
        adapter = LoraConfig(r=cell.rank, lora_alpha=settings["lora_alpha"])
        super().__init__(
            model=Rows(losses, adapter),
            args=TrainingArguments(
                settings["output_dir"],
                learning_rate=cell.rate,
                num_train_epochs=cell.epochs,
                gradient_accumulation_steps=settings["gradient_accumulation_steps"],
                per_device_train_batch_size=cells.MICRO,
                per_device_eval_batch_size=cells.HELD_OUT,
                seed=cell.seed,
                lr_scheduler_type="cosine",
                warmup_steps=cells.WARM_UP,
                logging_steps=1,
                logging_nan_inf_filter=False,
                save_strategy="no",
                use_cpu=True,
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in ids],
            eval_dataset=[{"input_ids": row, "labels": row} for row in held],
            data_collator=collated,
        )
        self.remove_callback(PrinterCallback)
        # The gradients and weights of this model are no stored run's.
        attach(self, stop_on="error", raise_on=()).steps = None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; the run must be stored."""
        if self.stored is None:
            raise KeyError(self.cell.key)
        return super().train(*args, **kwargs)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Return the stored loss of the step."""
        assert self.stored is not None
        loss = self.stored["loss"][self.state.global_step]
        return torch.tensor(nan if loss is None else loss) / self.args.gradient_accumulation_steps

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log a row, with the stored norm of the gradient."""
        assert self.stored is not None
        if "loss" in logs:
            norm = self.stored["grad_norm"][self.state.global_step - 1]
            logs = {**logs, "grad_norm": nan if norm is None else norm}
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the stored evaluation after this step."""
        assert self.stored is not None
        self.evaluations += 1
        place = self.cell.evaluated_at.index(self.state.global_step)
        loss = self.stored["eval_loss"][place]
        metrics = {"eval_loss": nan if loss is None else loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def collated(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Return a batch, padded on the right."""
    width = max(len(row["labels"]) for row in rows)
    pad = {"input_ids": 0, "labels": -100}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in pad.items()
    }
