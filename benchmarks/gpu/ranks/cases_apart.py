"""Cases in which the ranks differ: in their rows, in who has the callback, in what ran before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sftdiag
from benchmarks.gpu.ranks.bench import Bench, Masked, Slow, nan_loss

AT = 10
"""The step from which a fault is there."""

Seen = list[dict[str, Any]]
"""What a rank saw of the runs of a case, in their order."""


def _rows(bench: Bench, **policy: Any) -> Seen:
    trainer = bench.trainer()
    if bench.rank == 1:
        trainer.data_collator = Masked(trainer.data_collator)
    return [bench.train(trainer, sftdiag.attach(trainer, **policy))]


def rows_stop(bench: Bench) -> Seen:
    """Rank 1's collator masks every label; the policy stops on what the checks find."""
    return _rows(bench, stop_on="error")


def rows_raise(bench: Bench) -> Seen:
    """Likewise, with an exception."""
    return _rows(bench, raise_on="error")


def rows_at_evaluation(bench: Bench) -> Seen:
    """Rank 1's evaluation rows have no label; a callback without a trainer sees them late."""
    trainer = bench.trainer(eval_strategy="steps", eval_steps=10)
    if bench.rank == 1:
        trainer.eval_dataset = trainer.eval_dataset.map(_unlabelled)
    callback = sftdiag.DiagnosticsCallback(stop_on={"SFT401", "SFT402"})
    trainer.add_callback(callback)
    return [bench.train(trainer, callback)]


def _unlabelled(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "labels": [-100] * len(row["input_ids"])}


def only_on(rank: int) -> Callable[[Bench], Seen]:
    """Return the case in which one rank alone has the callback."""

    def case(bench: Bench) -> Seen:
        trainer = bench.trainer(eval_strategy="steps", eval_steps=15)
        nan_loss(trainer, AT)
        callback = None
        if bench.rank == rank:
            callback = sftdiag.attach(trainer, stop_on="error", raise_on="error", probes=True)
        return [bench.train(trainer, callback)]

    return case


def more_before(bench: Bench) -> Seen:
    """First a run that is watched on one rank, then one on both: with other policies."""
    seen = []
    for only in (0, 1):
        trainer = bench.trainer(max_steps=4)
        callback = sftdiag.attach(trainer, stop_on="info") if bench.rank == only else None
        seen.append(bench.train(trainer, callback))
        trainer = bench.trainer()
        nan_loss(trainer, AT)
        options = {"stop_on": "error"} if bench.rank == 0 else {}
        seen.append(bench.train(trainer, sftdiag.attach(trainer, **options)))
    return seen


def crashed_before(bench: Bench) -> Seen:
    """First a run that a user's error ends on both ranks, then one that rank 1 does not watch."""
    trainer = bench.trainer(max_steps=8)
    sftdiag.attach(trainer, stop_on="error")

    def fail(*_: Any, **__: Any) -> Any:
        if trainer.state.global_step == 4:
            raise ZeroDivisionError
        return step(*_, **__)

    step, trainer.training_step = trainer.training_step, fail
    with suppress(ZeroDivisionError):
        trainer.train()
    trainer = bench.trainer(max_steps=8)
    callback = sftdiag.attach(trainer, stop_on="error") if bench.rank == 0 else None
    return [bench.train(trainer, callback)]


def late(bench: Bench) -> Seen:
    """Rank 0 begins four seconds after rank 1, as where a tracker logs in there."""
    trainer = bench.trainer()
    nan_loss(trainer, AT)
    if bench.rank == 0:
        trainer.add_callback(Slow(4.0))
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]
