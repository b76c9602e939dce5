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
    """Keeps single numbers on the device.

    Args:
        room: how many.
        device: the trainer's.

    Attributes:
        put: keeps a number, or a tensor of one element and without a graph, at a place.
    """

    put: Callable[[int, Any], None]

    def __init__(self, room: int, device: Any) -> None:
        import torch

        self.room = room
        self._kept = torch.zeros(room, device=device)
        self._slots = self._kept.unbind()
        self.put = self._copy

    def _copy(self, place: int, value: Any) -> None:
        # By value: a compiled model's graph writes its next loss to the same place.
        if isinstance(value, (int, float)):
            self._slots[place].fill_(value)
        else:
            self._slots[place].copy_(value.reshape(()) if value.dim() else value)

    def numbers(self, start: int, end: int) -> list[float]:
        """Return those from one place to another, in one copy; this waits for the device."""
        values: list[float] = self._kept[start:end].tolist()
        return values

    def clear(self, end: int) -> None:
        """Let go of those up to a place: they are not asked for again."""

    def mean(self, numbers: Sequence[float] | None = None) -> list[float]:
        """Return the mean over the ranks, each of which comes here: of all that is kept.

        Args:
            numbers: or of these.
        """
        from torch import distributed

        mine = self._on_the_device(numbers)
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
        self._held: list[Any] = [0.0] * room
        # No function of ours: behind a step every one that is called is a cold one.
        self.put = self._held.__setitem__

    def numbers(self, start: int, end: int) -> list[float]:
        """See :meth:`Ring.numbers`."""
        held = self._held[start:end]
        return [value.item() if hasattr(value, "item") else value for value in held]

    def clear(self, end: int) -> None:
        """See :meth:`Ring.clear`; here, since a tensor that goes behind a step costs time there."""
        self._held[:end] = [0.0] * end

    def _on_the_device(self, numbers: Sequence[float] | None) -> Any:
        import torch

        told = self.numbers(0, self.room) if numbers is None else numbers
        return torch.tensor(told, dtype=torch.float32, device=self._device)


def ring_of(device: Any, least: int) -> Ring:
    """Return a ring for numbers of a device, with room for so many at the least."""
    if device.type == "cpu":
        return HostRing(max(ON_THE_HOST, least), device)
    return Ring(max(ON_THE_DEVICE, least), device)
