"""Whether a LoRA adapter has moved at all: its B starts at 0 and leaves it at the first step."""

from __future__ import annotations

from typing import Any

from sftdiag.context import RunContext

LOOK_AFTER = 20
"""Optimizer steps trained before the look. A warm-up begins at a rate of 0, so B leaves 0 at the
second step (tests measure it); fp16's loss scale begins at 2 ** 16 and skips a step for each
halving, 16 at most until it is 1."""


class AdapterLook:
    """Looks at the adapter's B once a ``train()``."""

    def __init__(self) -> None:
        self._due: int | None = None

    def begin(self, step: int) -> None:
        """Start afresh at a step, 0 or that of a resume."""
        self._due = step + LOOK_AFTER

    def due(self, step: int) -> bool:
        """Return whether it is time to look."""
        return self._due is not None and step >= self._due

    def look(self, step: int, model: Any) -> RunContext | None:
        """Return what the adapter says when it is time to look; None when it says nothing."""
        if model is None or not self.due(step):
            return None
        self._due = None
        parameters = [p for name, p in model.named_parameters() if ".lora_B." in name]
        if _in_shards(parameters) or (not parameters and _has_lora(model)):
            return RunContext(lora_b_sharded=True)
        weights = [p for p in parameters if p.requires_grad]
        # On a healthy run the first B settles it, with one number copied from the device.
        if not weights or any(bool(p.detach().any()) for p in weights):
            return None
        return RunContext(lora_b_zero_step=step)


def _in_shards(parameters: list[Any]) -> bool:
    """Return whether this rank holds a part only: ZeRO-3 leaves empty, FSDP distributed tensors."""
    return any(p.numel() == 0 or hasattr(p, "device_mesh") for p in parameters)


def _has_lora(model: Any) -> bool:
    """Return whether there is an adapter although no B has its name: FSDP's flat parameters."""
    configs = (getattr(model, "peft_config", None) or {}).values()
    return any("LORA" in str(getattr(c.peft_type, "value", c.peft_type)).upper() for c in configs)
