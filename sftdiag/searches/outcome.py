"""Outcome: what one trial came to, whoever ran it."""

from __future__ import annotations

from math import isfinite

from sftdiag.values import Value

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
"""How a trial ends."""


class Point(Value):
    """An evaluation of a trial."""

    step: int
    epoch: float
    loss: float


class RowLosses(Value):
    """The losses of single evaluation rows.

    Attributes:
        losses: mean over a row's trained tokens.
        tokens: how many these are.
        of: rows of the evaluation set, of which these may be the first.
    """

    losses: tuple[float, ...]
    tokens: tuple[int, ...]
    of: int


class Outcome(Value):
    """What a trial came to.

    Attributes:
        state: one of :data:`COMPLETE`, :data:`PRUNED`, :data:`FAILED`.
        loss: evaluation loss of the model that training left; None where it did not end.
        curve: its evaluations.
        steps: optimizer steps of its schedule.
        last_step: where it ended.
        log_rows: rows of its log until then.
        rows: the losses of single evaluation rows, where they can be had.
        cause: code of the finding that ended it, or :data:`~sftdiag.tuning.prospects.HOPELESS`.
        cause_name: the finding's name.
        said: what was seen, in a sentence.
        reason: type of the exception that it failed with.
        detail: that exception's first line, for the terminal only.
        seconds: how long it took.
        devices: GPUs that it used, 0 on a CPU.
    """

    state: str
    loss: float | None = None
    curve: tuple[Point, ...] = ()
    steps: int = 0
    last_step: int = 0
    log_rows: int = 0
    rows: RowLosses | None = None
    cause: str | None = None
    cause_name: str | None = None
    said: str | None = None
    reason: str | None = None
    detail: str | None = None
    seconds: float = 0.0
    devices: int = 0

    @property
    def judged(self) -> float | None:
        """The loss that it is judged by; None where it has none."""
        good = self.state == COMPLETE and self.loss is not None and isfinite(self.loss)
        return self.loss if good else None

    @property
    def shares(self) -> list[tuple[float, float]]:
        """The curve over the share of the schedule, its end being what is judged."""
        known = [(p.step / self.steps, p.loss) for p in self.curve if self.steps]
        if self.judged is not None:
            known = [point for point in known if point[0] < 1.0] + [(1.0, self.judged)]
        return known


class Trial(Value):
    """One trial of a search.

    Attributes:
        number: counted over the whole search, from 1.
        step: the step of the search that it was made for.
        settings: what it was trained with.
        outcome: what it came to.
    """

    number: int
    step: str
    settings: dict[str, float]
    outcome: Outcome
