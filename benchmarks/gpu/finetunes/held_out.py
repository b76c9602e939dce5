"""The loss on held-out questions, rendered and masked as they should be, whatever the fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Row = Mapping[str, Sequence[int]]
"""A row's tokens and labels."""


@torch.no_grad()
def held_out_loss(model: Any, rows: Sequence[Row], batch: int = 50) -> float:
    """Return the loss a token of rows that are rendered and masked as they should be."""
    model.eval()
    total, count = 0.0, 0
    for at in range(0, len(rows), batch):
        some = rows[at : at + batch]
        width = max(len(row["input_ids"]) for row in some)
        ids, labels = (
            torch.tensor([[*row[key], *[fill] * (width - len(row[key]))] for row in some])
            for key, fill in (("input_ids", 0), ("labels", -100))
        )
        mask = (torch.arange(width) < torch.tensor([[len(row["labels"])] for row in some])).long()
        device = model.device
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, :-1]
        goal = labels[:, 1:].to(device)
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), goal.flatten(), ignore_index=-100, reduction="sum"
        )
        total += loss.item()
        count += int((goal != -100).sum())
    return total / count
