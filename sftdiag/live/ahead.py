"""Ahead: what a guard asks of a step comes to the host with what the trainer itself waits for.

A trainer waits for its loss at each step, as soon as the backward pass is launched. So the norm of
the gradient is reckoned right behind that pass, while the device computes, and comes along with the
loss: when the trainer is about to clip, both are there, and nobody waits for them. It then clips by
that norm: torch's own two functions for it, called in turn, of which clipping consists. Where
anything is otherwise than here, the trainer's own call is made, and the guard waits for the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

NORM_TYPE = 2
"""Of the norm that accelerate clips by where it is not told another."""


class Ahead:
    """The norm and losses of the step that is being made, before anybody asks.

    Args:
        device: where the steps are made.
        room: micro-batches of a step, at most.
    """

    def __init__(self, device: Any, room: int) -> None:
        import torch
        from torch.nn.utils import clip_grads_with_norm_, get_total_norm

        cuda: Any = torch.cuda
        on_cuda = device.type == "cuda"
        self._total_norm, self._clip_by = get_total_norm, clip_grads_with_norm_
        self._host = torch.zeros(room + 1, dtype=torch.float32, pin_memory=on_cuda)
        self._came: Any = cuda.Event() if on_cuda else None
        # Those of the last call: to ask the model for them at each step takes as long as the rest.
        self._parameters: list[Any] = []
        self.forget()

    @classmethod
    def of(cls, trainer: Any, room: int) -> Ahead | None:
        """Return it for a trainer; None where the norm is another's, or not one of all gradients.

        Args:
            trainer: on whose accelerator nobody has put anything yet.
            room: micro-batches of a step, at most.
        """
        from accelerate import Accelerator
        from accelerate.utils import DistributedType

        accelerator = trainer.accelerator
        if type(accelerator).clip_grad_norm_ is not Accelerator.clip_grad_norm_:
            return None
        if "clip_grad_norm_" in vars(accelerator) or accelerator.scaler is not None:
            return None
        if accelerator.distributed_type != DistributedType.NO:
            return None
        # Elsewhere a copy that nobody waits for has no event that says it came.
        if trainer.args.device.type not in ("cuda", "cpu"):
            return None
        try:
            return cls(trainer.args.device, room)
        except ImportError:
            return None  # These functions came with torch 2.6.

    def forget(self) -> None:
        """Hold on to no gradient: memory is short."""
        self._grads: list[Any] = []
        self._versions: list[int] = []
        self._norm: Any = None
        self._count = 0

    def launch(self, losses: Any) -> None:
        """Reckon the norm, and bring it and the losses over; nothing waits for it.

        Args:
            losses: of the step's micro-batches, on the device, whose gradients are there, too.
        """
        import torch

        self.forget()
        grads = [p.grad for p in self._parameters if p.grad is not None]
        plain = torch.Tensor
        if not grads or len(losses) >= len(self._host):
            return
        if not all(type(grad) is plain and not grad.is_sparse for grad in grads):
            return
        norm = self._total_norm(grads, NORM_TYPE)
        if norm.device != losses.device:
            return
        values = torch.cat((losses, norm.reshape(1)))
        self._host[: len(values)].copy_(values, non_blocking=True)
        if self._came is not None:
            self._came.record()
        self._grads, self._norm = grads, norm
        self._versions = [grad._version for grad in grads]
        self._count = len(values)

    def clipping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return accelerate's method that clips, by the norm that is there where it is this one.

        Args:
            original: the method.
        """
        from torch import Tensor

        @functools.wraps(original)
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != 2 or isinstance(args[0], Tensor):
                return original(*args, **kwargs)  # Not as the trainer calls it.
            parameters, max_norm = [*args[0]], args[1]
            if self._norm is None or not self._is_of(parameters):
                self._parameters = parameters
                # What is iterated over once comes on as a list.
                return original(parameters, max_norm)
            self._clip_by(parameters, max_norm, self._norm)
            return self._norm

        return clip_grad_norm_

    def _is_of(self, parameters: Sequence[Any]) -> bool:
        """Return whether the norm is that of these parameters' gradients as they are now."""
        if len(parameters) != len(self._parameters):
            return False
        grads = [p.grad for p in parameters if p.grad is not None]
        return (
            all(map(is_, parameters, self._parameters))
            and len(grads) == len(self._grads)
            and all(map(is_, grads, self._grads))
            and [grad._version for grad in grads] == self._versions
        )

    def numbers(self, norm: Any) -> list[float] | None:
        """Return the step's losses and its norm; None where they are not what came.

        Args:
            norm: the one that the trainer clipped by.
        """
        came, count = self._norm, self._count
        self.forget()
        if came is None or norm is not came:
            return None
        if self._came is not None:
            self._came.synchronize()
        values: list[float] = self._host[:count].tolist()
        return values
