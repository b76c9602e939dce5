"""Hyperparameter ranges, each with its source: the guide's, and newer evidence beside it.

A number that a detector, a cause or a check compares a run with stands here once.
"""

from __future__ import annotations

from sftdiag.values import Value

GUIDE = "SFT guide, learning-rate table"


SMALLEST_VOCABULARY = 32_000
"""Assumed where the vocabulary is unknown: the smallest in common use (Llama 2, Mistral 7B)."""

LARGEST_VOCABULARY = 262_144
"""The largest in common use (Gemma 3). A loss above its ln is summed, not averaged, or no
likelihood at all: its level says nothing."""


class Range(Value):
    """A closed interval of sensible values with its source."""

    low: float
    high: float
    source: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


LEARNING_RATE: dict[str, tuple[Range, ...]] = {
    "full": (
        Range(1e-5, 5e-5, GUIDE),
        Range(1e-6, 2e-5, "Pareja et al. 2024 (arXiv 2412.13337), Granite and Mistral, 3B to 7B"),
    ),
    "lora": (
        Range(1e-5, 5e-5, GUIDE),
        Range(1e-4, 5e-4, "Schulman 2025, LoRA Without Regret: about 10 times the full rate"),
    ),
    "qlora": (
        Range(1e-4, 3e-4, GUIDE),
        Range(1e-4, 2e-4, "Dettmers et al. 2023 (QLoRA): 2e-4 up to 13B, 1e-4 above"),
    ),
    "prompt-tuning": (Range(1e-3, 3e-2, "p-tuning v2 runs of ChatGLM: 2e-2"),),
}
"""Peak learning rate by method, in optimizer units for Adam; the guide's range first."""

USUAL_LEARNING_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4, "prompt-tuning": 2e-2}
"""Where to start: the guide's 2e-5 for full and 2e-4 for QLoRA; for LoRA the newer 10 times."""

SMALLEST_MODEL = 100_000_000
"""Parameters of the smallest model that the ranges speak of: their sources trained 0.5 to 70
billion, and the narrower a model, the larger the rate it bears."""

LOWEST_LEARNING_RATE = 1e-6
"""The lowest rate in any source above (Pareja et al., Mistral 7B): below it nothing was trained."""


MOST_EPOCHS = 3
"""The guide: beyond 3 epochs a run nearly always overfits."""


def learning_rate_ranges(method: str | None) -> tuple[Range, ...]:
    """Return the ranges for a method; those of full fine-tuning and LoRA when it is unknown."""
    if method in LEARNING_RATE:
        return LEARNING_RATE[method]
    return LEARNING_RATE["full"] + LEARNING_RATE["lora"][1:]
