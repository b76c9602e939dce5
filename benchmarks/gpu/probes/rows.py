"""Rows to fine-tune on: sound, of another task, and answers that go round in circles."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from benchmarks.gpu.probes.model import Pair


def answers(pairs: Sequence[Pair], count: int) -> Iterator[Pair]:
    """Yield questions about functions with the first sentence of their docstring."""
    for name, text in pairs:
        sentence = text.split(". ")[0].rstrip(".") + "."
        if 30 < len(sentence) < 160 and count:
            count -= 1
            yield f"What does {name} do?", sentence


def arithmetic(count: int) -> Iterator[Pair]:
    """Yield sums: nothing that general text could gain from."""
    draw = random.Random(1)
    for _ in range(count):
        a, b = draw.randrange(1000), draw.randrange(1000)
        yield f"{a} + {b} = ?", " ".join(str(a + b)) + " !"


def circles(pairs: Sequence[Pair], count: int) -> Iterator[Pair]:
    """Yield answers that say their first words over and over, as a looping model's output does."""
    for question, answer in answers(pairs, count):
        yield question, (" ".join(answer.split()[:5]) + " ") * 6


def as_rows(tokenizer: Any, pairs: Iterator[Pair]) -> list[dict[str, list[int]]]:
    """Return rows whose answer and end alone are trained."""
    rows = []
    for question, answer in pairs:
        asked = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
        reply = tokenizer(f"{answer}<|end|>")["input_ids"]
        rows.append({"input_ids": prompt + reply, "labels": [-100] * len(prompt) + reply})
    return rows


def collate(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Return a padded batch."""
    width = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([[*r[name], *[fill] * (width - len(r[name]))] for r in rows])

    mask = torch.tensor(
        [[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in rows]
    )
    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", -100),
        "attention_mask": mask,
    }
