"""The Tinker sweep: LoRA on 35 models, rate x rank, and what a rate costs on each."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from math import log
from pathlib import Path

UNNAMED_SIZES = {"DeepSeek-V3.1": 671e9, "Kimi-K2": 1_000e9}
"""Parameters of the models whose name does not tell them."""

HIDDEN = {
    "Llama-3.2-1B": 2048,
    "Llama-3.2-3B": 3072,
    "Llama-3.1-8B": 4096,
    "70B": 8192,
    "Qwen3-4B": 2560,
    "Qwen3-8B": 4096,
    "Qwen3-32B": 5120,
    "Qwen3-30B-A3B": 2048,
    "Qwen3-VL-30B": 2048,
    "Qwen3-235B": 4096,
    "Qwen3-VL-235B": 4096,
}
"""Width of the models that the cookbook's rule can be asked for here."""

POWERS = {"Llama": 0.781, "Qwen": 0.0775}
"""Of the cookbook's rule: 5e-5 x 10 x (2000 / width) ** power."""


class Model:
    """One model's cells.

    Args:
        name: as the sweep writes it.
        cells: learning rate to the lowest test loss over the ranks, in nats a token.
    """

    def __init__(self, name: str, cells: dict[float, float]) -> None:
        self.name = name
        self.cells = dict(sorted(cells.items()))
        self.best = min(cells.values())
        self.best_rate = min(cells, key=lambda rate: cells[rate])

    @property
    def parameters(self) -> float:
        """Parameters, all experts counted: what a user would name."""
        for part, size in UNNAMED_SIZES.items():
            if part in self.name:
                return size
        found = re.search(r"(\d+(?:\.\d+)?)[Bb](?![a-z])", self.name)
        if found is None:
            raise ValueError(f"{self.name}: its name tells no size; add it to UNNAMED_SIZES")
        return float(found[1]) * 1e9

    @property
    def maker(self) -> str:
        """Who made it."""
        return self.name.partition("/")[0]

    def nearest(self, rate: float) -> float:
        """Return the regret at a rate, or at the nearest one tried."""
        tried = min(max(rate, min(self.cells)), max(self.cells))
        return self.regret(tried) or 0.0

    def covers(self, rate: float) -> bool:
        """Return whether the rate lies among those tried that did not diverge."""
        return min(self.cells) <= rate <= max(self.cells)

    def regret(self, rate: float) -> float | None:
        """Return the loss at a rate above the best one's, in nats; None outside the rates tried.

        Between two rates the loss is interpolated in the logarithm of the rate.
        """
        if not self.covers(rate):
            return None
        rates = list(self.cells)
        high = next(tried for tried in rates if tried >= rate)
        low = max(tried for tried in rates if tried <= rate)
        share = 0.0 if low == high else log(rate / low) / log(high / low)
        loss: float = self.cells[low] + share * (self.cells[high] - self.cells[low])
        return loss - self.best

    def cookbook_rate(self) -> float | None:
        """Return the rate of the cookbook's rule, where its two constants are known."""
        family = next((name for name in POWERS if name in self.name), None)
        width = next((width for part, width in HIDDEN.items() if part in self.name), None)
        if family is None or width is None:
            return None
        return 5e-5 * 10 * float((2000 / width) ** POWERS[family])


def models(path: Path) -> list[Model]:
    """Return the sweep's models, smallest first."""
    cells: dict[str, dict[float, float]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known, rate = cells[row["model"]], float(row["learning_rate"])
            known[rate] = min(float(row["test_nll"]), known.get(rate, float("inf")))
    found = [Model(name, known) for name, known in cells.items()]
    return sorted(found, key=lambda model: (model.parameters, model.name))
