"""Rollback: an adapter's weights and its optimizer's state at the best evaluation, put back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


class Rollback:
    """Keeps what is trained on the CPU at each evaluation that is the best so far.

    Args:
        trainer: that trains an adapter.
        times: that it may be put back.
        scale: the learning rate after that over the one before.
    """

    def __init__(self, trainer: Any, times: int, scale: float) -> None:
        self._trainer = trainer
        self._times = times
        self._scale = scale
        self._best = math.inf
        self._step = 0
        self._weights: list[tuple[Any, Any]] = []
        self._optimizer: Any = None

    @classmethod
    def of(cls, trainer: Any, times: int, scale: float) -> Rollback | None:
        """Return one for this trainer; None where it trains no adapter, or shards of one."""
        trained = [p for p in trainer.model.parameters() if p.requires_grad]
        whole = not any(hasattr(p, "device_mesh") or p.numel() == 0 for p in trained)
        has_adapter = bool(getattr(trainer.model, "peft_config", None))
        return cls(trainer, times, scale) if has_adapter and whole else None

    @property
    def left(self) -> bool:
        """Whether there is something to put back, and it may be."""
        return self._times > 0 and bool(self._weights)

    def evaluated(self, metrics: Mapping[str, Any], step: int) -> None:
        """Keep the weights where no evaluation before was better."""
        loss = metrics.get("eval_loss")
        if self._times == 0 or not isinstance(loss, float) or not loss <= self._best:
            return
        self._best, self._step = loss, step
        trained = (p for p in self._trainer.model.parameters() if p.requires_grad)
        self._weights = [(p, p.detach().to("cpu", copy=True)) for p in trained]
        self._optimizer = _to_cpu(self._trainer.optimizer.state_dict())

    def put_back(self) -> int:
        """Put them back at a lower rate; return the step that they are of."""
        self._times -= 1
        with torch.no_grad():
            for parameter, kept in self._weights:
                parameter.copy_(kept)
        optimizer, scheduler = self._trainer.optimizer, self._trainer.lr_scheduler
        rates = [
            (group["lr"], group.get("initial_lr", group["lr"])) for group in optimizer.param_groups
        ]
        optimizer.load_state_dict(self._optimizer)
        for group, (rate, peak) in zip(optimizer.param_groups, rates, strict=True):
            group["lr"], group["initial_lr"] = rate * self._scale, peak * self._scale
        inner = getattr(scheduler, "scheduler", scheduler)
        if hasattr(inner, "base_lrs"):
            inner.base_lrs = [rate * self._scale for rate in inner.base_lrs]
        return self._step


def _to_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _to_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_cpu(item) for item in value)
    return value
