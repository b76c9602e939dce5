"""Where a schedule that began anew in mid-run stands at the planned end of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi

from sftdiag.context import RunContext
from sftdiag.values import Value

DECAYS_TO_ZERO: Mapping[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: (1.0 - cos(pi * left)) / 2.0,
}
"""Those of transformers' SchedulerType that surely decay to 0 at the planned end, as the share of
the peak where a share of the decay is left. Not polynomial and the cosines with a min_lr, whose end
is an argument, nor warmup_stable_decay, whose decay may be as short as one likes and end anywhere;
cosine_with_restarts reaches 0 several times, inverse_sqrt never; the constant ones have nothing to
reach, and reduce_lr_on_plateau and greedy go by evaluations, not by the plan."""

HIGH_END = 0.1
"""Share of the peak from which the rate ends too high: decays are planned to end at a tenth
(Hoffmann et al. 2022, arXiv 2203.15556) or at 0 (Bergsma et al. 2025, arXiv 2502.15938). A restart
does so after a tenth of the steps with a linear decay, after a fifth with a cosine, whose end is
flat: after a tenth it still comes down to 2 %."""


class PlannedEnd(Value):
    """The end of a run whose schedule began anew.

    Attributes:
        step: the last planned step.
        highest: the highest rate since the restart, as a share of the peak: 1 unless fewer steps
            are left than the warm-up has.
        rate: that of the planned end, as a share of the peak.
    """

    step: int
    highest: float
    rate: float


def planned_end(context: RunContext, restart: int) -> PlannedEnd | None:
    """Return where a schedule that began anew after this step ends.

    None where no decay to 0 at the planned end is known to have been planned.
    """
    decay = DECAYS_TO_ZERO.get(context.lr_scheduler_type or "")
    steps, warmup = context.max_steps, context.warmup_steps
    if decay is None or steps is None or warmup is None or not 0 <= warmup < steps:
        return None
    done = steps - restart
    if done <= 0:
        return None
    if done < warmup:
        return PlannedEnd(steps, done / warmup, done / warmup)
    return PlannedEnd(steps, 1.0, decay(restart / (steps - warmup)))
