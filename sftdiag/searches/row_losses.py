"""The losses of single evaluation rows by a trained model, for the noise of an evaluation."""

from __future__ import annotations

from typing import Any

from sftdiag.probing import guard
from sftdiag.searches.outcome import RowLosses

MOST_ROWS = 1000
"""Rows kept a trial, the first of the set: the error of their mean is then a thirtieth of the
spread between rows, and a trial stays below 20 KB in the storage."""

DIGITS = 5
"""Significant ones kept."""


def row_losses(trainer: Any) -> RowLosses | None:
    """Return the loss of each evaluation row; None where a batch does not show single rows.

    That is so for packed rows, models that give no logits, sharded weights and streams. Modes,
    random numbers and gradients are given back as they were.
    """
    rows = trainer.eval_dataset
    if isinstance(rows, dict):
        rows = next(iter(rows.values()), None)
    model = guard.plain(trainer.model)
    if rows is None or not hasattr(rows, "__len__") or guard.refusal(model) is not None:
        return None
    if getattr(trainer.args, "eval_packing", None) or getattr(trainer.args, "packing", False):
        return None
    losses: list[float] = []
    tokens: list[int] = []
    with guard.untouched(model):
        for batch in trainer.get_eval_dataloader(rows):
            found = _of_batch(model, trainer._prepare_inputs(batch))
            if found is None:
                return None
            for loss, count in found:
                losses.append(float(f"{loss:.{DIGITS}g}"))
                tokens.append(count)
            if len(losses) >= MOST_ROWS:
                break
    return RowLosses(tuple(losses[:MOST_ROWS]), tuple(tokens[:MOST_ROWS]), len(rows))


def _of_batch(model: Any, batch: Any) -> list[tuple[float, int]] | None:
    """Return the mean loss and the trained tokens of each row of a batch that has any."""
    import torch

    labels = batch.get("labels")
    if labels is None or labels.dim() != 2 or "position_ids" in batch:
        return None
    logits = getattr(model(**batch), "logits", None)
    if logits is None or logits.dim() != 3 or logits.shape[:2] != labels.shape:
        return None
    found = []
    # Row by row: the logits of a whole batch in float32 may not fit a second time.
    for row, wanted in zip(logits, labels, strict=True):
        kept = wanted[1:] != -100
        if not kept.any():
            continue
        loss = torch.nn.functional.cross_entropy(row[:-1][kept].float(), wanted[1:][kept])
        found.append((float(loss), int(kept.sum())))
    return found
