"""What the public sweep of LoRA rates says for a model's size and batch."""

from __future__ import annotations

from math import inf

from sftdiag.ranges import SWEPT_BATCH

SWEPT_LEARNING_RATE = ((3.5e9, 1e-3), (10e9, 5e-4), (inf, 3e-4))
"""Below how many parameters which LoRA rate is near the best of that sweep, at its batch: 1e-3 for
the models of 1B and 3B, between 3e-4 and 1e-3 for those of 4B to 9B, 3e-4 from there on.
benchmarks/recommend prices it model by model."""

LARGE_DATA_BATCH = {"full": 128, "lora": 128, "qlora": 64}
"""Where the guide's table trains one epoch, its row for large data: 64 to 128. The Tinker sweep
gave LoRA its 100,000 rows by 128; no source took more than 64 for QLoRA."""


def lora_learning_rate(parameters: float, batch: int) -> float:
    """Return the LoRA rate for a model's size and the rows of an optimizer step.

    The sweep's rate for the size, times the square root of batch / 128: Adam's step is made of the
    gradient over its own size, whose noise falls with the root of the batch (Malladi et al. 2022,
    arXiv 2205.10287). That is an assumption: the sweep has one batch size. Above its batch the rate
    stays. Rounded to two digits.

    Examples:
        >>> [lora_learning_rate(8e9, batch) for batch in (128, 32, 16)]
        [0.0005, 0.00025, 0.00018]
    """
    swept = next(rate for below, rate in SWEPT_LEARNING_RATE if parameters < below)
    return float(f"{swept * min(1.0, batch / SWEPT_BATCH) ** 0.5:.1e}")
