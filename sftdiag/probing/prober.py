"""Measure the model itself: what the callback calls at the start and at every evaluation.

World rank 0 asks, and its rows are told to the others, so that all feed the same numbers and decide
alike. Weights that are sharded over ranks are not asked.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from sftdiag.probes import Probe
from sftdiag.probes.base import BEFORE, SKIPPED
from sftdiag.probes.forgetting import ForgettingProbe
from sftdiag.probes.settings import Probes
from sftdiag.probing import guard, swapped
from sftdiag.probing.ask import Asker
from sftdiag.probing.deadline import Budget
from sftdiag.probing.rounds import Kept, Questions, Round
from sftdiag.probing.told import Told
from sftdiag.records import PROBE_PREFIX
from sftdiag.rows import preflight
from sftdiag.rows.samples import RowReader
from sftdiag.samples import Sample, Split
from sftdiag.sources.probes import Row

GAINS = "gains"
"""Whose time it is in the budget."""

logger = logging.getLogger("sftdiag")


class Prober:
    """The probes of one callback.

    Attributes:
        trainer: what ``attach`` was given, for the evaluation rows; None for a callback that was
            given none, which sees them at its first evaluation.
        told: what the model said, in memory only.
    """

    def __init__(self, settings: Probes) -> None:
        self.trainer: Any = None
        self.told = Told()
        self._settings = settings
        self._budget = Budget(settings.seconds)
        self._questions: Questions | None = None
        self._kept: Kept | None = None
        self._before: set[str] = set()
        self._last_step: int | None = None
        self._refused: str | None = None

    def begin(
        self, args: Any, state: Any, kwargs: Mapping[str, Any], rows: Sequence[Row]
    ) -> list[Row]:
        """Measure the model before training, where that can still be done; return the new rows.

        Args:
            args: the training arguments.
            state: the trainer's state.
            kwargs: the callback's.
            rows: kept by the part of the run that is resumed.
        """
        self._questions, self._kept, self._last_step, self._refused = None, None, None, None
        self.told = Told()
        if not self._settings.kinds:
            return []
        self._before = {name for row in rows if BEFORE in row for name in _probes_of(row)}
        return self._guarded(state, lambda: self._at_start(args, state, kwargs, rows))

    def gains(
        self, args: Any, state: Any, kwargs: Mapping[str, Any], splits: Sequence[Split]
    ) -> dict[str, tuple[float, ...]]:
        """Ask the model before training whose answers these are; see :attr:`Inputs.gains`.

        Empty where it cannot be asked, or was trained already and has no adapter to switch off.
        """
        model = guard.plain(kwargs["model"])
        adapter = guard.has_adapter(model)
        untrained = adapter or state.global_step == 0
        if not (self._settings.asks_of_rows and untrained) or guard.refusal(model) is not None:
            return {}
        with self._budget.covering(guard.untouched(model)), ExitStack() as stack:
            if adapter:
                stack.enter_context(guard.adapter_off(model))
            asker = self._asker(args, model, kwargs)
            return swapped.gains(asker, splits, self._budget.deadline(GAINS))

    def evaluate(self, args: Any, state: Any, kwargs: Mapping[str, Any]) -> list[Row]:
        """Ask the model, once a step; return the new rows."""
        if state.global_step == self._last_step or self._refused is not None:
            return []
        if not self._settings.kinds:  # The rows alone are asked of, which is done by now.
            return []
        self._last_step = state.global_step
        return self._guarded(state, lambda: self._at_evaluation(args, state, kwargs))

    @property
    def longest(self) -> float | None:
        """Seconds that an evaluation's questions may take; None where none are asked any more."""
        if self._refused is not None or not self._settings.kinds:
            return None
        return 2 * self._settings.seconds * len(self._settings.kinds)

    def give_up(self, state: Any, reason: str) -> list[Row]:
        """Ask nothing more, for a reason (a key of the skipped texts); return the row that says so.

        Args:
            state: the trainer's state.
            reason: why.
        """
        if self._refused is not None:
            return []
        self._refused = reason
        return [self._reasons(state.global_step, state.epoch, reason)]

    def ask_before(self, model: Any, tokenizer: Any) -> list[Row]:
        """Ask a finished model's base; return its row.

        Raises:
            ConfigError: the model or a prompt cannot be asked.
        """
        return self._ask_finished(model, tokenizer, 0, before=True)

    def ask_now(self, model: Any, tokenizer: Any, step: int) -> list[Row]:
        """Ask a finished model, with its adapter off first where it has one; return the rows.

        Raises:
            ConfigError: the model or a prompt cannot be asked.
        """
        return self._ask_finished(model, tokenizer, step, before=False)

    def _ask_finished(self, model: Any, tokenizer: Any, step: int, *, before: bool) -> list[Row]:
        reason = guard.refusal(model)
        if reason is not None:
            return [self._reasons(step, None, reason)]
        with self._budget.covering(guard.untouched(model)):
            asker = Asker(model, tokenizer)
            if before:
                return self._measure_before(asker, known=True)
            rows = self._measure_before(asker, known=False)
            row, _ = self._row(asker, step, None, self._settings.kinds)
            return [*rows, row]

    def _at_start(
        self, args: Any, state: Any, kwargs: Mapping[str, Any], rows: Sequence[Row]
    ) -> list[Row]:
        model = guard.plain(kwargs["model"])
        self._refused = guard.refusal(model)
        if self._refused is not None:
            return [self._reasons(state.global_step, state.epoch, self._refused)]
        with self._budget.covering(guard.untouched(model)):
            asker = self._asker(args, model, kwargs)
            questions = self._ask_for(asker)
            if self.trainer is not None and not questions.prompts:
                questions.take_samples(_samples(self.trainer))
            self._kept = _kept(rows, questions.fingerprint)
            if self._kept is None:
                self._before.discard(ForgettingProbe.name)
            return self._measure_before(asker, known=state.global_step == 0)

    def _at_evaluation(self, args: Any, state: Any, kwargs: Mapping[str, Any]) -> list[Row]:
        model = guard.plain(kwargs["model"])
        with self._budget.covering(guard.untouched(model)):
            asker = self._asker(args, model, kwargs)
            questions = self._ask_for(asker)
            if not questions.prompts:
                questions.take_samples(_rows_of(kwargs.get("eval_dataloader")))
            before = self._measure_before(asker, known=state.global_step == 0)
            row, _ = self._row(asker, state.global_step, state.epoch, self._settings.kinds)
            return [*before, row]

    def _measure_before(self, asker: Asker, *, known: bool) -> list[Row]:
        """Measure what is not known yet of the model before training, where it is at hand.

        Args:
            asker: asks the model.
            known: whether the model as it is was not trained yet.
        """
        questions = self._ask_for(asker)
        adapter = guard.has_adapter(asker.model)
        wanted = [
            kind
            for kind in self._settings.kinds
            if kind.name not in self._before and ("losses" in kind.asks or questions.prompts)
        ]
        if not wanted or not (adapter or known):
            return []
        self._before |= {kind.name for kind in wanted}
        if adapter:
            with guard.adapter_off(asker.model):
                row, losses = self._row(asker, 0, 0.0, wanted, before=True)
        else:
            row, losses = self._row(asker, 0, 0.0, wanted, before=True)
        row[BEFORE] = 1.0
        if losses and all(math.isfinite(loss) for part in losses.values() for loss in part):
            self._kept = losses
            row["kept"] = {**losses, "of": questions.fingerprint}
        return [row]

    def _row(
        self,
        asker: Asker,
        step: int,
        epoch: float | None,
        kinds: Sequence[type[Probe]],
        *,
        before: bool = False,
    ) -> tuple[dict[str, Any], dict[str, list[float]]]:
        questions = self._ask_for(asker)
        asked = Round(asker, questions, self._kept, self._budget)
        row: dict[str, Any] = {"step": step, "epoch": epoch}
        for kind in kinds:
            for name, value in asked.measures(kind).items():
                if math.isfinite(value):
                    row[f"{PROBE_PREFIX}{kind.name}/{name}"] = value
        self.told.take(questions.prompts, asked.replies, asker.tokenizer, None if before else step)
        return row, asked.losses

    def _asker(self, args: Any, model: Any, kwargs: Mapping[str, Any]) -> Asker:
        dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        rows = args.per_device_eval_batch_size
        return Asker(model, kwargs["processing_class"], dtype, rows)

    def _ask_for(self, asker: Asker) -> Questions:
        if self._questions is None:
            self._questions = Questions(self._settings, asker.tokenizer, asker.ends)
            self._questions.take_texts(asker)
        return self._questions

    def _reasons(self, step: int, epoch: float | None, key: str) -> dict[str, Any]:
        row: dict[str, Any] = {"step": step, "epoch": epoch}
        for kind in self._settings.kinds:
            row[f"{PROBE_PREFIX}{kind.name}/{SKIPPED}{key}"] = 1.0
        return row

    def _guarded(self, state: Any, ask: Callable[[], list[Row]]) -> list[Row]:
        """Ask; a fault ends the probes only."""
        try:
            return ask()
        except Exception:
            logger.exception("sftdiag's probes failed and are off for the rest of this run")
            return self.give_up(state, "probe_failed")


def _samples(trainer: Any) -> Sequence[Sample]:
    """Return rows of the trainer's first evaluation set as the loss sees them."""
    inputs = preflight.from_trainer(trainer)
    return next((split.samples for split in inputs.evaluations if split.samples), ())


def _rows_of(dataloader: Any) -> Sequence[Sample]:
    """Return rows behind an evaluation's dataloader, which is left alone."""
    dataset = getattr(dataloader, "dataset", None)
    collate = getattr(dataloader, "collate_fn", None)
    return RowReader(collate).read("eval", dataset).samples if collate else ()


def _kept(rows: Sequence[Row], fingerprint: str) -> Kept | None:
    """Return the losses before training that an earlier part of the run kept of these texts."""
    for row in rows:
        kept = row.get("kept")
        if isinstance(kept, Mapping) and kept.get("of") == fingerprint:
            return {name: value for name, value in kept.items() if name != "of"}
    return None


def _probes_of(row: Row) -> set[str]:
    return {name.split("/")[1] for name in row if name.startswith(PROBE_PREFIX) and name != BEFORE}
