"""Gate: the device itself decides whether the optimizer makes a step, and nobody waits for it.

A fused Adam of torch's makes no step where a number on its device, ``found_inf``, is 1: so it is
told by a loss scaler, and so it is told here. A trainer waits for its loss at each step: from
then on the device waits for the host, until the optimizer is launched. So all that can be is done
while the device computes: before, and once the next step is launched, when what was decided is
fetched past it and held against what is usual.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from sftdiag.trainer.optimizers import inner_of

ASKED = "found_inf"
"""What such an optimizer looks for, an attribute of its own until the next step is launched."""


class Decided(NamedTuple):
    """What the device made of a step.

    Attributes:
        loss: of the step.
        bad: it was not made.
    """

    loss: float
    bad: bool


class Gate:
    """Decides on one device.

    Args:
        optimizer: a fused Adam of torch's.
        device: where its steps are made.
    """

    def __init__(self, optimizer: Any, device: Any) -> None:
        import torch

        cuda: Any = torch.cuda
        on_cuda, kind = device.type == "cuda", torch.float64
        self._optimizer = optimizer
        # The loss, and what is not 0 of a bad step: a number or a NaN.
        self._seen = torch.zeros(2, dtype=kind, device=device)
        self._loss, self._odds = self._seen.unbind()
        self._beyond = torch.zeros((), dtype=kind, device=device)
        self._odd = torch.zeros((), dtype=kind, device=device)
        # Of no dimension, as the counts of the optimizer's steps that it is taken from.
        self._flag = torch.zeros((), device=device)
        self._host = torch.zeros(2, dtype=kind, device="cpu", pin_memory=on_cuda)
        # Past what was launched since.
        self._past = cuda.Stream(device) if on_cuda else None
        self._decided: Any = cuda.Event() if on_cuda else None
        self._came: Any = cuda.Event() if on_cuda else None
        self._finite = True

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

    def prepare(self, losses: Any, bound: tuple[float, float] | None, *, finite: bool) -> None:
        """Reckon what can be before the gradient's norm is known.

        Args:
            losses: of the step's micro-batches, on the device.
            bound: the level and how far above it a loss is a spike; None while it is not known.
            finite: a step is bad where its loss or gradient norm is not finite, too.
        """
        import torch

        level, most = bound or (0.0, inf)
        loss = torch.sum(losses, dim=0, dtype=torch.float64, out=self._loss)
        odd = (loss - loss) != 0
        self._odd.copy_(odd)
        self._beyond.copy_((loss - level > most) & ~odd)
        self._finite = finite

    def takes(self, norm: Any) -> bool:
        """Return whether a gradient norm is one number on the device."""
        return bool(norm.numel() == 1 and norm.device == self._flag.device)

    def decide(self, norm: Any) -> None:
        """Have the device decide about the step that the optimizer is about to make.

        As :meth:`sftdiag.live.bad_steps.BadSteps.reason` does on the host.

        Args:
            norm: of its gradient, a tensor that :meth:`takes` takes.
        """
        import torch

        if not self._finite:
            self._odds.copy_(self._beyond)
        else:
            # Of a loss that is not finite it is the norm, and a norm that is not makes it a NaN. A
            # norm of exactly 0 is that of a batch without a label, which changes nothing.
            if norm.requires_grad or norm.dim():
                norm = norm.detach().view(())
            torch.addcmul(self._beyond, norm, self._odd, out=self._odds)
        torch.ne(self._odds, 0, out=self._flag)
        if self._decided is not None:
            self._decided.record()
        setattr(self._optimizer, ASKED, self._flag)

    def leave(self) -> None:
        """Leave the optimizer as it was."""
        vars(self._optimizer).pop(ASKED, None)

    def decided(self) -> Decided:
        """Return what the device decided last; this waits for no step that was launched since."""
        if self._past is None:
            self._host.copy_(self._seen)
        else:
            import torch

            self._past.wait_event(self._decided)
            with torch.cuda.stream(self._past):
                self._host.copy_(self._seen, non_blocking=True)
                self._came.record()
            self._came.synchronize()
        loss, odds = self._host.tolist()
        return Decided(loss, odds != 0.0)
