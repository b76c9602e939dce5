"""The guide's recipes: presets, schedule, template, search order and smoke test, as data."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, inf, pi

from sftdiag.ranges import ALL_LINEAR, LITTLE_DATA, MUCH_DATA, Band, Range
from sftdiag.ranges import PRESETS as SOURCE
from sftdiag.values import Value


class Preset(Value):
    """A preset of the guide.

    Attributes:
        samples: from and below how many samples.
        parameters: from and below how many model parameters.
    """

    name: str
    samples: Band
    parameters: Band
    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]
    learning_rate: float
    num_train_epochs: Range


PRESETS = (
    Preset(
        "conservative",
        Band(0, LITTLE_DATA, "samples"),
        Band(0, 3e9, "parameters"),
        16,
        32,
        0.1,
        ("q_proj", "v_proj"),
        1e-5,
        Range(3, 3, SOURCE),
    ),
    Preset(
        "standard",
        Band(LITTLE_DATA, MUCH_DATA, "samples"),
        Band(3e9, 8.5e9, "parameters"),
        32,
        64,
        0.05,
        ALL_LINEAR,
        2e-5,
        Range(1, 2, SOURCE),
    ),
    Preset(
        "aggressive",
        Band(MUCH_DATA, inf, "samples"),
        Band(3e9, inf, "parameters"),
        64,
        128,
        0.0,
        ALL_LINEAR,
        5e-5,
        Range(1, 1, SOURCE),
    ),
)
"""An "8B" model has 8.0e9 to 8.2e9 parameters. The third is for ample compute."""


def cosine_rate(step: int, steps: int, warmup: int, peak: float, lowest: float = 0.0) -> float:
    """Return the learning rate at a step of the guide's schedule.

    Linear from 0 to ``peak`` over ``warmup`` steps, then
    lowest + (peak - lowest) / 2 * (1 + cos(pi (t - warmup) / (steps - warmup))).

    Examples:
        >>> [cosine_rate(step, 100, 10, 2e-5) for step in (0, 5, 10, 55, 100)]
        [0.0, 1e-05, 2e-05, 1e-05, 0.0]
    """
    if step < warmup:
        return peak * step / warmup
    return lowest + (peak - lowest) / 2 * (1 + cos(pi * (step - warmup) / max(1, steps - warmup)))


TEMPLATE_SETTINGS: Mapping[str, int | float] = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "learning_rate": 2e-5,
    "num_train_epochs": 1,
    "warmup_steps": 0.1,
    "max_length": 2048,
    "weight_decay": 0.01,
    "logging_steps": 10,
    "eval_steps": 100,
    "save_steps": 200,
    "save_total_limit": 3,
    "seed": 42,
}
"""The guide's full template, where no table above says the value."""

SEARCH_LEARNING_RATE = {
    "full": (1e-5, 2e-5, 5e-5),
    "lora": (1e-5, 2e-5, 5e-5),
    "qlora": (1e-4, 2e-4, 3e-4),
}
"""Step 1 of the guide's search; for LoRA the newer evidence asks for ten times these."""

SEARCH_EPOCHS = 3
SEARCH_RANK = (16, 32, 64)
SEARCH_BATCH = (16, 32, 64)

SMOKE_TEST: Mapping[str, int | float] = {
    "max_steps": 100,
    "logging_steps": 10,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "learning_rate": 2e-5,
}
"""The guide's run before the real one: no clear fall after it, check data format and config."""
