"""Cases in which sftdiag fails on one rank, in which one is slow, and those of a guard."""

from __future__ import annotations

from typing import Any

import sftdiag
from benchmarks.gpu.ranks.bench import Bench, Slow, nan_gradient, nan_loss
from benchmarks.gpu.ranks.cases_apart import AT, Seen

BEFORE = 4
"""Steps before the fault at which sftdiag fails on rank 1: the other ranks go on without it."""


def _failing(bench: Bench, owner: Any, name: str, calls: int = 0) -> None:
    """Have a method of sftdiag's fail on rank 1 after so many calls."""
    original, left = getattr(owner, name), [calls]

    def fail(*given: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise ZeroDivisionError("made to fail")
        return original(*given, **options)

    if bench.rank == 1:
        setattr(owner, name, fail)


def fails_at_row(bench: Bench) -> Seen:
    """What rank 1 makes of a log row fails; later all ranks find what would stop them."""
    trainer = bench.trainer()
    nan_loss(trainer, AT)
    callback = sftdiag.attach(trainer, stop_on="error")
    _failing(bench, callback, "_feed", AT - BEFORE)
    return [bench.train(trainer, callback)]


def fails_at_step(bench: Bench) -> Seen:
    """What rank 1 sees of a step fails; the log rows are left, and stop all ranks."""
    trainer = bench.trainer()
    nan_loss(trainer, AT)
    callback = sftdiag.attach(trainer, stop_on="error")
    steps: Any = callback.steps
    _failing(bench, steps.rows, "stepped", AT - BEFORE)
    return [bench.train(trainer, callback)]


def guarded(bench: Bench) -> Seen:
    """One step's gradient is NaN on rank 1; all ranks skip it and go on."""
    trainer = bench.trainer()
    if bench.rank == 1:
        nan_gradient(trainer, AT, 1)
    return [bench.train(trainer, sftdiag.attach(trainer, guard=True, stop_on="error"))]


def fails_in_guard(bench: Bench) -> Seen:
    """Before that the guard fails on rank 1: all ranks give it up, and go by the log rows."""
    from sftdiag.live.bad_steps import BadSteps

    trainer = bench.trainer()
    if bench.rank == 1:
        nan_gradient(trainer, AT, 1)
    reason = BadSteps.reason
    _failing(bench, BadSteps, "reason", AT - BEFORE)
    try:
        return [bench.train(trainer, sftdiag.attach(trainer, guard=True))]
    finally:
        BadSteps.reason = reason  # type: ignore[method-assign]


def slow(bench: Bench) -> Seen:
    """Rank 1 keeps the others waiting at every step."""
    trainer = bench.trainer()
    if bench.rank == 1:
        trainer.add_callback(Slow(0.0, each=0.1))
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="warning"))]
