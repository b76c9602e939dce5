"""Ring: losses in the order they come, kept on the device until a log row.

On an accelerator each is one small copy into a tensor there, and all come over in one, gradient
norms with them: nothing waits for the device in between. On the CPU there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

ON_THE_DEVICE = 4096
"""Losses, in 16 KB: with their norms those of 1,000 steps and more."""

ON_THE_HOST = 1024
"""The same, as tensors of half a kilobyte each."""


class Ring:
    """Keeps losses on the device, one after another.

    Args:
        room: how many.
        device: the trainer's.

    Attributes:
        keep: keeps a tensor without a graph.
        by_itself: the device computes on while the host does something else.
    """

    keep: Callable[[Any], None]
    by_itself = True

    def __init__(self, room: int, device: Any) -> None:
        import torch

        self.room, self._end = room, 0
        self._kept = torch.zeros(room, dtype=torch.float32, device=device)
        self._slots = self._kept.unbind()
        self._scalars = True
        self.keep = self._copy

    def _copy(self, value: Any) -> None:
        # By value: a compiled model's graph writes its next loss to the same place.
        end = self._end
        self._end = end + 1
        if value.dim():
            self._scalars = self._scalars and value.numel() == 1
            value = value.reshape(-1)[0]
        self._slots[end].copy_(value)

    def holds_scalars(self) -> bool:
        """Return whether all that was kept were tensors of one number."""
        return self._scalars

    def kept(self, start: int, end: int) -> Any:
        """Return those from one place to another as they are there."""
        return self._kept[start:end]

    def numbers(self, start: int, end: int, others: Sequence[Any] = ()) -> list[float]:
        """Return those from one place to another, in one copy; this waits for the device.

        Args:
            start: the first place.
            end: the place behind the last.
            others: numbers or tensors of one element, which come after them.
        """
        import torch

        kept = self.kept(start, end)
        if others:
            # In one go, where they are on the device.
            kept = torch.cat((kept, *self._each(others)))
        values: list[float] = kept.tolist()
        return values

    def clear(self, end: int) -> None:
        """Let go of those up to a place; those behind it move to the front."""
        left = self._end - end
        if left:
            self._kept[:left] = self._kept[end : self._end].clone()
        self._end = left

    def tensor(self, end: int, others: Sequence[Any]) -> Any:
        """Return those up to a place and others after them in as much room as on every rank."""
        import torch

        whole = self._kept.clone()
        if others:
            whole[end : end + len(others)] = torch.cat(self._each(others))
        whole[-1] = 0.0
        return whole

    def _each(self, values: Sequence[Any]) -> list[Any]:
        """Return numbers or tensors of one element as tensors of one dimension on the device."""
        import torch

        here, tensor = self._kept.device, torch.Tensor
        if all(isinstance(value, tensor) and value.device == here for value in values):
            return [value.reshape(1) for value in values]
        return [self._kept.new_tensor([float(value) for value in values])]

    def mean(self, mine: Any) -> tuple[list[float], bool]:
        """Return the mean over the ranks, each of which comes here, and whether one has failed.

        Args:
            mine: what :meth:`tensor` returned; None on a rank that has failed.
        """
        if mine is None:
            mine = self._on_the_device([0.0] * (self.room - 1) + [1.0])
        *values, failed = self._reduced(mine)
        return values, bool(failed)

    def mean_of(self, numbers: Sequence[float]) -> list[float]:
        """Return the mean of numbers over the ranks, each of which comes here."""
        return self._reduced(self._on_the_device(numbers))

    def _reduced(self, mine: Any) -> list[float]:
        from torch import distributed

        distributed.all_reduce(mine)
        values: list[float] = (mine / distributed.get_world_size()).tolist()
        return values

    def _on_the_device(self, numbers: Sequence[float]) -> Any:
        return self._kept.new_tensor(numbers)


class HostRing(Ring):
    """The same on the CPU: what comes is held, and read where it is asked for, all at once.

    No graph of a compiled model writes there a second time.
    """

    by_itself = False

    def __init__(self, room: int, device: Any) -> None:
        self.room, self._device = room, device
        self._held: list[Any] = []
        # No function of ours: behind a step every one that is called is a cold one.
        self.keep = self._held.append

    def holds_scalars(self) -> bool:
        """See :meth:`Ring.holds_scalars`."""
        return all(value.numel() == 1 for value in self._held)

    def numbers(self, start: int, end: int, others: Sequence[Any] = ()) -> list[float]:
        """See :meth:`Ring.numbers`."""
        return [*map(float, (*self._held[start:end], *others))]

    def clear(self, end: int) -> None:
        """See :meth:`Ring.clear`; here, since a tensor that goes behind a step costs time there."""
        del self._held[:end]

    def tensor(self, end: int, others: Sequence[Any]) -> Any:
        """See :meth:`Ring.tensor`."""
        numbers = self.numbers(0, end, others)
        return self._on_the_device(numbers + [0.0] * (self.room - len(numbers)))

    def _on_the_device(self, numbers: Sequence[float]) -> Any:
        import torch

        return torch.tensor(numbers, dtype=torch.float32, device=self._device)


def ring_of(device: Any, least: int) -> Ring:
    """Return a ring for numbers of a device, with room for so many at the least."""
    if device.type == "cpu":
        return HostRing(max(ON_THE_HOST, least), device)
    return Ring(max(ON_THE_DEVICE, least), device)
