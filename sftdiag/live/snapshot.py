"""Snapshot: everything of a trainer that training changes, kept aside and put back.

What is trained is copied to the CPU. Frozen weights are not: nothing changes them.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator
from typing import Any

import torch

from sftdiag.errors import ConfigError

SHARE_OF_MEMORY = 0.5
"""Of the free CPU memory that a snapshot may take: the other half is left to the run."""

_FORWARD = ("forward", "_original_forward")
"""What accelerate replaces on a model that it prepares for mixed precision."""


class Snapshot:
    """The state of a trainer before something trains it.

    Args:
        trainer: a transformers or TRL trainer.

    Raises:
        ConfigError: it would take more than :data:`SHARE_OF_MEMORY` of the free memory.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.size = snapshot_size(trainer)
        free = _free_memory()
        if free is not None and self.size > SHARE_OF_MEMORY * free:
            raise ConfigError(
                f"smoke_test would keep {as_size(self.size)} aside and only {as_size(free)} of "
                "memory are free; train fewer parameters (LoRA), or watch the real run with "
                "DiagnosticsCallback(smoke_steps=100)"
            )
        model = trainer.model
        self._attributes = dict(vars(trainer))
        self._plain = {k: copy.deepcopy(v) for k, v in vars(trainer).items() if _is_plain(v)}
        self._control = dict(vars(trainer.control))
        self._handler = dict(vars(trainer.callback_handler))
        self._callbacks = list(trainer.callback_handler.callbacks)
        self._modes = [(module, module.training) for module in model.modules()]
        self._forward = {name: vars(model)[name] for name in _FORWARD if name in vars(model)}
        self._gradients = [(p, None if p.grad is None else p.grad.clone()) for p in _trained(model)]
        self._tensors = [(t, t.detach().to("cpu", copy=True)) for t in _tensors(model)]
        self._parts = [(part, _to_cpu(part.state_dict())) for part in _parts(trainer)]
        self._rng = _rng_state()
        self._accelerate = _accelerate_state(trainer)

    def restore(self) -> None:
        """Put everything back."""
        trainer = self.trainer
        model = self._attributes["model"]
        vars(trainer).clear()
        vars(trainer).update(self._attributes)
        vars(trainer).update(self._plain)
        vars(trainer.control).update(self._control)
        vars(trainer.callback_handler).update(self._handler)
        trainer.callback_handler.callbacks[:] = self._callbacks
        for name in _FORWARD:
            model.__dict__.pop(name, None)
        model.__dict__.update(self._forward)
        with torch.no_grad():
            for tensor, kept in self._tensors:
                tensor.copy_(kept)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        for part, state in self._parts:
            part.load_state_dict(state)
        for module, training in self._modes:
            module.training = training
        trainer.accelerator.free_memory()
        _restore_accelerate(trainer, self._accelerate)
        _restore_rng(self._rng)


def snapshot_size(trainer: Any) -> int:
    """Return the bytes that a snapshot takes on the CPU."""
    states = (leaf for part in _parts(trainer) for leaf in _leaves(part.state_dict()))
    gradients = (p.grad for p in _trained(trainer.model) if p.grad is not None)
    return sum(t.nbytes for group in (_tensors(trainer.model), states, gradients) for t in group)


def as_size(count: float) -> str:
    """Return bytes as in ``1.5 GiB``.

    Examples:
        >>> as_size(3 * 2**29), as_size(2048)
        ('1.5 GiB', '2 KiB')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 2**10:.3g} KiB"


def _trained(model: Any) -> list[Any]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _tensors(model: Any) -> list[Any]:
    """Return what training may change: trained parameters and buffers."""
    return [*_trained(model), *model.buffers()]


def _parts(trainer: Any) -> list[Any]:
    """Return the optimizer, schedule and loss scaler that the trainer has already."""
    parts = (trainer.optimizer, trainer.lr_scheduler, trainer.accelerator.scaler)
    return [part for part in parts if part is not None]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)


def _to_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _to_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_cpu(item) for item in value)
    return copy.deepcopy(value)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a container of plain values, such as TRL's running metrics."""
    if isinstance(value, dict):
        return all(_is_plain(item) or _is_scalar(item) for item in value.values())
    if isinstance(value, (list, set)):
        return all(_is_plain(item) or _is_scalar(item) for item in value)
    return False


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _rng_state() -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    return {
        "python": random.getstate(),
        "numpy": numpy and numpy.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def _restore_rng(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    if state["numpy"] is not None:
        sys.modules["numpy"].random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])


def _accelerate_state(trainer: Any) -> dict[str, Any] | None:
    """Return what accelerate shares between all accelerators: which dataloader is being read."""
    shared = getattr(trainer.accelerator.gradient_state, "_shared_state", None)
    if not isinstance(shared, dict):
        return None
    return {k: list(v) if isinstance(v, list) else v for k, v in shared.items()}


def _restore_accelerate(trainer: Any, state: dict[str, Any] | None) -> None:
    if state is not None:
        vars(trainer.accelerator.gradient_state).update(state)


def _free_memory() -> int | None:
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)
