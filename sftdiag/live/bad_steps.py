"""Bad steps: which step is to be kept out of the weights, told before it is made.

By its loss and gradient norm and those of the steps before; nothing here knows a trainer.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from sftdiag.config import count
from sftdiag.context import RunContext
from sftdiag.detectors._spikes import SpikeFinder
from sftdiag.errors import ConfigError
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

LOSS, GRADIENT, SPIKE = 1, 2, 3
"""Why a step is skipped: keys of :data:`sftdiag.records.SKIPS`."""

STOPPED, PUT_BACK = 10, 20
"""Added to them where the budget is used up."""

FEWEST = 3
"""Steps that may be skipped in a run of any length: most_share of a short one is none."""


class Guard(Value):
    """What a guard may do.

    Attributes:
        skip: ``"non-finite"``: steps whose loss or gradient norm is NaN or infinite; or ``"none"``.
        spikes: steps, too, whose loss lies beyond what the run's own noise explains: the bar of
            SFT105, never a fixed multiple; off until the noise is known.
        most_in_a_row: steps skipped in a row, after which the run is stopped.
        most_share: share of the planned steps that may be skipped in all, three at the least.
        rollback: times that an adapter's weights are put back to those of the best evaluation,
            instead of the stop.
        scale: the learning rate after that over the one before.
    """

    skip: str = "non-finite"
    spikes: bool = True
    most_in_a_row: int = 3
    most_share: float = 0.01
    rollback: int = 0
    scale: float = 0.5

    def _validate(self) -> None:
        if self.skip not in ("non-finite", "none"):
            raise ConfigError(f'Guard(skip=...) is "non-finite" or "none", got {self.skip!r}')
        count("Guard: most_in_a_row", self.most_in_a_row, 1)
        count("Guard: rollback", self.rollback)
        for name, share in (("most_share", self.most_share), ("scale", self.scale)):
            if not isinstance(share, (int, float)) or not 0 < share <= 1:
                raise ConfigError(f"Guard: {name} must be above 0 and at most 1, got {share!r}")

    @classmethod
    def parse(cls, given: Any) -> Guard | None:
        """Return the guard for True, False, None or a :class:`Guard`.

        Raises:
            ConfigError: it is none of these.
        """
        if given is None or given is False:
            return None
        if given is True:
            return cls()
        if isinstance(given, cls):
            return given
        raise ConfigError(f"guard is True, False or sftdiag.Guard(...), got {given!r}")


class BadSteps:
    """Tells the bad steps of one run.

    Args:
        guard: what it may do.

    Attributes:
        scaled: fp16's loss scaler skips steps that are not finite by itself.
    """

    def __init__(self, guard: Guard) -> None:
        self.scaled = False
        self._guard = guard
        self._rate: float | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew: with other weights, what was usual is not."""
        self._own = Signals(RunContext())
        self._finder = SpikeFinder()
        self._in_a_row = self._skipped = 0

    def bound(self, rate: float | None) -> tuple[float, float] | None:
        """Return the level and how far above it a loss is a spike; None while it is not known."""
        if not self._guard.spikes:
            return None
        rises = rate is not None and self._rate is not None and rate > self._rate
        return self._finder.bound(self._own, rises=rises)

    def reason(
        self, loss: float, norm: float | None, bound: tuple[float, float] | None
    ) -> int | None:
        """Return why a step is to be skipped, or None.

        Args:
            loss: of the step.
            norm: of its gradient, where that is known.
            bound: as :meth:`bound` returned it.
        """
        if self._guard.skip == "non-finite" and not self.scaled:
            # A NaN whose gradient is exactly 0 is a batch without a label, and changes nothing.
            if not isfinite(loss) and norm != 0.0:
                return LOSS
            if norm is not None and not isfinite(norm):
                return GRADIENT
        if bound is not None and isfinite(loss) and loss - bound[0] > bound[1]:
            return SPIKE
        return None

    def made(self, step: int, epoch: float | None, loss: float, rate: float | None) -> None:
        """Take the loss of a step that is made into the noise that later ones are held against."""
        self._in_a_row = 0
        self._rate = rate
        if not self._guard.spikes or not isfinite(loss):
            return
        metrics = {"loss": loss} if rate is None else {"loss": loss, "learning_rate": rate}
        record = LogRecord(TRAIN, step, epoch, metrics)
        self._own.update(record)
        self._finder.take(self._own, loss, step)

    def skipped(self, planned: int) -> bool:
        """Note that a step is skipped; return whether the budget is used up.

        Args:
            planned: the run's steps; where that is not known, those done.
        """
        self._in_a_row += 1
        self._skipped += 1
        most = max(FEWEST, self._guard.most_share * planned)
        return self._in_a_row >= self._guard.most_in_a_row or self._skipped > most
