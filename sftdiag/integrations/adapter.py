"""Whether a LoRA adapter has moved at all: its B starts at 0 and leaves it at the first step."""

from __future__ import annotations

from typing import Any

LOOK_AFTER = 20
"""Optimizer steps trained before the look: a warm-up begins at a rate of 0, and fp16's loss scaling
may skip the first steps; on healthy runs B has left 0 by the third."""


class AdapterLook:
    """Looks at the adapter's B once a ``train()``."""

    def __init__(self) -> None:
        self._due: int | None = None

    def begin(self, step: int) -> None:
        """Start afresh at a step, 0 or that of a resume."""
        self._due = step + LOOK_AFTER

    def zero_step(self, step: int, model: Any) -> int | None:
        """Return the step when it is time to look and every B is exactly 0, else None."""
        if self._due is None or step < self._due:
            return None
        self._due = None
        return step if _every_b_is_zero(model) else None


def _every_b_is_zero(model: Any) -> bool:
    """Return False, too, where there is no adapter or this rank holds a part of it only."""
    if model is None:
        return False
    weights = [p for name, p in model.named_parameters() if ".lora_B." in name and p.requires_grad]
    # DeepSpeed's ZeRO-3 leaves empty shards, FSDP flat or distributed tensors.
    if not weights or any(p.numel() == 0 or hasattr(p, "device_mesh") for p in weights):
        return False
    # On a healthy run the first B settles it, with one number copied from the device.
    return not any(bool(p.detach().any()) for p in weights)
