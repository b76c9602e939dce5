"""Gate: the device itself decides whether the optimizer makes a step, and nobody waits for it.

A fused Adam of torch's makes no step where a number on its device, ``found_inf``, is not 0: so it
is told by a loss scaler, and so it is told here. What was decided comes to the host while the
device computes the next step, and is known when the one after it is to be decided.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from sftdiag.trainer.optimizers import inner_of

ASKED = "found_inf"
"""What such an optimizer is asked for, an attribute of its own while it makes a step."""


class Decided(NamedTuple):
    """What the device made of a step.

    Attributes:
        loss: of the step.
        norm: of its gradient; None where that is not known.
        bad: it was not made.
    """

    loss: float
    norm: float | None
    bad: bool


class Gate:
    """Decides on one device.

    Args:
        optimizer: a fused Adam of torch's.
        device: where its steps are made.
    """

    def __init__(self, optimizer: Any, device: Any) -> None:
        import torch

        event: Any = torch.cuda.Event
        self._optimizer = optimizer
        on_host = {"dtype": torch.float64, "pin_memory": device.type == "cuda"}
        # One is on its way while the next is written.
        self._hosts = [torch.zeros(3, **on_host) for _ in range(2)]
        self._done = [event() for _ in self._hosts] if on_host["pin_memory"] else None
        self._turn = 0
        self._normed = True

    @classmethod
    def of(cls, optimizer: Any, device: Any) -> Gate | None:
        """Return one for the steps of this optimizer; None where it makes every step it is told to.

        Args:
            optimizer: the trainer's.
            device: the trainer's.
        """
        from torch.optim import Adam, AdamW

        inner = inner_of(optimizer)
        # One derived from them may do something else, and says so nowhere.
        if type(inner) not in (Adam, AdamW):
            return None
        fused = all(group.get("fused") for group in inner.param_groups)
        here = all(p.device == device for group in inner.param_groups for p in group["params"])
        return cls(inner, device) if fused and here else None

    def decide(
        self, losses: Any, norm: Any, bound: tuple[float, float] | None, *, finite: bool
    ) -> None:
        """Have the device decide about the step that the optimizer is about to make.

        As :meth:`sftdiag.live.bad_steps.BadSteps.reason` does on the host.

        Args:
            losses: of its micro-batches, on the device.
            norm: of its gradient, there as well; None where there is none.
            bound: the level and how far above it a loss is a spike; None while it is not known.
            finite: a step is bad where its loss or gradient norm is not finite, too.
        """
        import torch

        level, most = bound or (0.0, inf)
        loss = losses.double().sum()
        self._normed = norm is not None
        known = loss if norm is None else norm.detach().double().reshape(())
        odd, odd_norm = (loss - loss) != 0, (known - known) != 0
        beyond = loss - level > most
        # A NaN whose gradient is exactly 0 is a batch without a label, and changes nothing.
        not_to_be_made = torch.where(odd, known != 0, beyond) | odd_norm
        bad = not_to_be_made if finite else beyond & ~odd
        setattr(self._optimizer, ASKED, bad.float())
        self._turn = 1 - self._turn
        host = self._hosts[self._turn]
        host.copy_(torch.stack((loss, known, bad.double())), non_blocking=True)
        if self._done is not None:
            self._done[self._turn].record()

    def made(self) -> None:
        """Leave the optimizer as it was, once it has made its step, or has not."""
        vars(self._optimizer).pop(ASKED, None)

    def decided(self) -> Decided:
        """Return what the device decided last, once it has."""
        if self._done is not None:
            self._done[self._turn].synchronize()
        loss, norm, bad = self._hosts[self._turn].tolist()
        return Decided(loss, norm if self._normed else None, bad != 0.0)
