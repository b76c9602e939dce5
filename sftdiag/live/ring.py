"""Ring: losses and gradient norms in the order they come, kept on the device until a log row.

On an accelerator each is one small copy into a tensor there, and all come over in one: nothing
waits for the device in between. On the CPU there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

ON_THE_DEVICE = 4096
"""Values: the losses and norms of 1,000 steps and more, in 16 KB."""

ON_THE_HOST = 1024
"""The same, as tensors of half a kilobyte each."""


class Ring:
    """Keeps single numbers on the device, one after another.

    Args:
        room: how many.
        device: the trainer's.

    Attributes:
        keep: keeps a number, or a tensor of one element and without a graph.
    """

    keep: Callable[[Any], None]

    def __init__(self, room: int, device: Any) -> None:
        import torch

        self.room, self._end = room, 0
        self._kept = torch.zeros(room, device=device)
        self._slots = self._kept.unbind()
        self.keep = self._copy

    def _copy(self, value: Any) -> None:
        # By value: a compiled model's graph writes its next loss to the same place.
        slot = self._slots[self._end]
        if isinstance(value, (int, float)):
            slot.fill_(value)
        else:
            slot.copy_(value.reshape(()) if value.dim() else value)
        self._end += 1

    def drop(self) -> None:
        """Let go of the last one."""
        self._end -= 1

    def numbers(self, start: int, end: int) -> list[float]:
        """Return those from one place to another, in one copy; this waits for the device."""
        values: list[float] = self._kept[start:end].tolist()
        return values

    def clear(self, end: int) -> None:
        """Let go of those up to a place; those behind it move to the front."""
        left = self._end - end
        if left:
            self._kept[:left] = self._kept[end : self._end].clone()
        self._end = left

    def mean(self, numbers: Sequence[float] | None = None, last: float = 0.0) -> list[float]:
        """Return the mean over the ranks, each of which comes here.

        Args:
            numbers: of these; None: of all that is kept, to the last place.
            last: what stands in the last place then, whatever is kept.
        """
        from torch import distributed

        mine = self._on_the_device(numbers)
        if numbers is None:
            mine[-1] = last
        distributed.all_reduce(mine)
        values: list[float] = (mine / distributed.get_world_size()).tolist()
        return values

    def _on_the_device(self, numbers: Sequence[float] | None) -> Any:
        return self._kept.clone() if numbers is None else self._kept.new_tensor(numbers)


class HostRing(Ring):
    """The same on the CPU: what comes is held, and read where it is asked for, all at once.

    No graph of a compiled model writes there a second time.
    """

    def __init__(self, room: int, device: Any) -> None:
        self.room, self._device = room, device
        self._held: list[Any] = []
        # No function of ours: behind a step every one that is called is a cold one.
        self.keep = self._held.append

    def drop(self) -> None:
        """See :meth:`Ring.drop`."""
        self._held.pop()

    def numbers(self, start: int, end: int) -> list[float]:
        """See :meth:`Ring.numbers`."""
        held, plain = self._held[start:end], (float, int)
        return [value if type(value) in plain else value.item() for value in held]

    def clear(self, end: int) -> None:
        """See :meth:`Ring.clear`; here, since a tensor that goes behind a step costs time there."""
        del self._held[:end]

    def _on_the_device(self, numbers: Sequence[float] | None) -> Any:
        import torch

        if numbers is None:
            numbers = self.numbers(0, self.room)
            numbers += [0.0] * (self.room - len(numbers))
        return torch.tensor(numbers, dtype=torch.float32, device=self._device)


def ring_of(device: Any, least: int) -> Ring:
    """Return a ring for numbers of a device, with room for so many at the least."""
    if device.type == "cpu":
        return HostRing(max(ON_THE_HOST, least), device)
    return Ring(max(ON_THE_DEVICE, least), device)
