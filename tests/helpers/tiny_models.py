"""Tiny models that know something: text that can be forgotten, and a chat that ends or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import finetune
import torch

GENERAL = [
    " ".join(f"the {thing} of {name} is {colour}" for colour in finetune.COLOURS[i % 4 :])
    for i, (name, thing) in enumerate(zip(finetune.NAMES, finetune.THINGS, strict=True))
]
"""General text in the words that the tiny tokenizer knows."""

Row = tuple[list[int], list[int]]
"""Token ids and labels."""


def pretrained() -> Any:
    """Return a model that knows GENERAL."""
    tokenizer = finetune.make_tokenizer()
    model = finetune.make_model(tokenizer)
    assert train(model, general_rows(tokenizer), steps=80) < 1.0
    return model


def general_rows(tokenizer: Any) -> list[Row]:
    return [(ids, ids) for ids in tokenizer(GENERAL)["input_ids"]]


def chat_rows(tokenizer: Any, count: int, *, end_trained: bool = True) -> list[Row]:
    """Return rows whose answer is trained, with or without its end."""
    rows = []
    for row in finetune.conversations(finetune.FAULTS["none"], count, seed=1)["messages"]:
        ids = tokenizer.apply_chat_template(row, return_dict=True)["input_ids"]
        start = ids.index(tokenizer.convert_tokens_to_ids("<|assistant|>")) + 1
        labels = [-100] * start + ids[start:]
        rows.append((ids, labels if end_trained else [*labels[:-1], -100]))
    return rows


def train(model: Any, rows: Sequence[Row], *, steps: int, rate: float = 3e-3) -> float:
    """Train a model in place on batches of 16 rows in turn; return the last loss."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    loss = torch.tensor(float("nan"))
    for step in range(steps):
        batch = [rows[(16 * step + i) % len(rows)] for i in range(min(16, len(rows)))]
        width = max(len(ids) for ids, _ in batch)
        spare = [width - len(ids) for ids, _ in batch]
        loss = model(
            input_ids=torch.tensor([r[0] + [0] * n for r, n in zip(batch, spare, strict=True)]),
            attention_mask=torch.tensor(
                [[1] * len(r[0]) + [0] * n for r, n in zip(batch, spare, strict=True)]
            ),
            labels=torch.tensor([r[1] + [-100] * n for r, n in zip(batch, spare, strict=True)]),
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()
