"""The rows as token ids with their labels: what a loop of one's own would make of them."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

IGNORED = -100
"""The label of a token that is not trained on."""


def rows(folder: Path, file: str) -> list[tuple[list[int], list[int]]]:
    """Return the ids and labels of each row of ``data/FILE``; the answer alone is trained on."""
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    made = []
    for line in (folder / "data" / file).read_text("utf-8").splitlines():
        question, answer = (turn["content"] for turn in json.loads(line)["messages"])
        asked = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        prompt = tokenizer.encode(asked).ids
        reply = tokenizer.encode(f"{answer}<|im_end|>").ids
        made.append((prompt + reply, [IGNORED] * len(prompt) + reply))
    return made


def padding(folder: Path) -> int:
    """Return the id of the padding."""
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    return tokenizer.token_to_id("<|endoftext|>")
