"""The loss of single training rows by the model as it is, for those behind a finding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import isfinite, nan
from typing import Any

from sftdiag.findings import StepRows
from sftdiag.probing import guard
from sftdiag.signals.noise import median

OTHERS = 16
"""Other rows whose median loss is the usual one, evenly spaced over the set."""

SECONDS = 10.0
"""At most so long: a row is one forward pass. Rows that are not reached have no loss."""


def with_losses(trainer: Any, loader: Any, steps: Sequence[StepRows]) -> list[StepRows]:
    """Return steps' rows with the loss of each by one forward pass.

    The model is asked in evaluation mode without gradients; modes, random numbers and gradients
    are given back as they were. Nothing is measured where it cannot be: a stream, sharded weights,
    a model whose output is not finite for usual rows.

    Args:
        trainer: whose model and data it is.
        loader: its loader; its dataset has the columns that the model takes.
        steps: those without losses are measured, as far as the time goes.
    """
    model = guard.plain(trainer.model)
    dataset: Any = getattr(loader, "dataset", None)
    if guard.refusal(model) is not None or not hasattr(dataset, "__getitem__"):
        return list(steps)
    end = time.monotonic() + SECONDS
    measured = []
    with guard.untouched(model):
        length = len(dataset)
        places = range(0, length, max(1, length // OTHERS))
        others = (_loss(trainer, model, loader, place) for place in places[:OTHERS])
        usual = median([loss for loss in others if isfinite(loss)])
        for rows in steps:
            if rows.stream or rows.losses is not None or not isfinite(usual):
                measured.append(rows)
                continue
            losses: list[float] = []
            for row in rows.rows:
                if time.monotonic() > end:
                    break
                losses.append(_loss(trainer, model, loader, row))
            whole = len(losses) == len(rows.rows)
            kept = rows.replace(losses=tuple(losses), usual=usual) if whole else rows
            measured.append(kept)
    return measured


def _loss(trainer: Any, model: Any, loader: Any, row: int) -> float:
    batch = trainer._prepare_inputs(loader.collate_fn([loader.dataset[row]]))
    outputs = model(**batch)
    loss = outputs["loss"] if isinstance(outputs, dict) else outputs[0]
    logits = getattr(outputs, "logits", None)
    # A token that the model cannot take spoils the gradient also where no label looks at it.
    sound = logits is None or bool(logits.isfinite().all())
    return float(loss) if sound else nan
