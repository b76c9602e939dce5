"""What torchtune's YAML names: a tokenizer, and the rows with their labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import encoded


class Tokenizer:
    """What recipes ask a tokenizer for."""

    def __init__(self, folder: str, max_seq_len: int | None = None) -> None:
        self.folder = Path(folder)
        self.max_seq_len = max_seq_len
        self.pad_id = encoded.padding(self.folder)


def dataset(tokenizer: Tokenizer, file: str) -> list[dict[str, Any]]:
    """Return the rows of ``data/FILE``."""
    made = encoded.rows(tokenizer.folder, file)
    return [{"tokens": ids, "labels": labels} for ids, labels in made]
