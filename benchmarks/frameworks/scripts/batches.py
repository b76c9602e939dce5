"""The rows as batches for a model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import encoded
import torch
from torch.utils.data import DataLoader


def loader(folder: Path, file: str, size: int, *, shuffle: bool) -> DataLoader[Any]:
    """Return a loader of padded batches of ``data/FILE``."""
    pad = encoded.padding(folder)

    def collate(rows: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in rows)
        ids = [ids + [pad] * (longest - len(ids)) for ids, _ in rows]
        labels = [each + [encoded.IGNORED] * (longest - len(each)) for _, each in rows]
        seen = [[1] * len(each) + [0] * (longest - len(each)) for each, _ in rows]
        return {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(labels),
            "attention_mask": torch.tensor(seen),
        }

    rows: Any = encoded.rows(folder, file)
    return DataLoader(rows, size, shuffle=shuffle, collate_fn=collate)
