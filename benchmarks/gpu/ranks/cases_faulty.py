"""Cases in which a fault breaks the run, by how often it logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sftdiag
from benchmarks.gpu.ranks.bench import Bench
from benchmarks.gpu.ranks.cases_apart import Seen
from benchmarks.gpu.ranks.delays import breaks_at


def faulty(
    fault: Callable[[Any, int], None], every: int, *, ranks: tuple[int, ...] = (0, 1)
) -> Callable[[Bench], Seen]:
    """Return the case in which a fault breaks some ranks."""

    def case(bench: Bench) -> Seen:
        at = breaks_at(every)
        trainer = bench.trainer(logging_steps=every, max_steps=at + 4 * every, learning_rate=5e-4)
        if bench.rank in ranks:
            fault(trainer, at)
        return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]

    return case


def blow_up(every: int) -> Callable[[Bench], Seen]:
    """Return the case in which the rate is far too high."""

    def case(bench: Bench) -> Seen:
        trainer = bench.trainer(
            logging_steps=every,
            max_steps=4 * every + 20,
            learning_rate=30.0,
            optim="sgd",
            max_grad_norm=0.0,
            warmup_steps=0,
        )
        return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]

    return case
