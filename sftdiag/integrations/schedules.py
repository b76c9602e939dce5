"""What a trainer's scheduler and optimizer say: which schedule it is, and whether it was resumed.

The trainer has loaded their states before ``on_train_begin``, or has not: both files of a
checkpoint or neither. Reads attributes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag.detectors.learning_rate_restarted import PLATEAU

AT_EVALUATIONS = ("ReduceLROnPlateau", "GreedyLR")
"""Schedulers that step at evaluations: at their beginning they say nothing of the run's steps."""


HALF_COSINE = 0.5
"""transformers' num_cycles of a cosine that falls from its peak to 0; any other ends elsewhere."""


def name(args: Any, scheduler: Any) -> str | None:
    """Return the scheduler's name in transformers, or what another one is called.

    ``args`` name one also where the trainer was given a scheduler of the user's own. A cosine of
    other than half a wave is called by its waves, too: it may rise, and need not end at 0.
    """
    asked = args.lr_scheduler_type
    label = None if asked is None else str(getattr(asked, "value", asked))
    scheduler = _unwrapped(scheduler)
    if scheduler is None:
        return label
    kind = type(scheduler).__name__
    if kind == "ReduceLROnPlateau":
        return PLATEAU
    factors = getattr(scheduler, "lr_lambdas", None)
    maker = getattr(factors[0], "func", factors[0]) if factors else type(scheduler)
    if str(getattr(maker, "__module__", "")).startswith("transformers."):
        cycles = getattr(factors[0], "keywords", {}).get("num_cycles") if factors else None
        whole = label != "cosine" or cycles in (None, HALF_COSINE)
        return label if whole else f"{label}, num_cycles={cycles}"
    return str(getattr(maker, "__name__", kind))


def lost_state(state: Any, kwargs: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the step resumed from when optimizer and scheduler had no state, else an empty tuple.

    None where there is no resume, or no telling: a scheduler that does not count its steps or
    counts evaluations.
    """
    step = getattr(state, "global_step", 0)
    scheduler, optimizer = _unwrapped(kwargs.get("lr_scheduler")), kwargs.get("optimizer")
    done, held = getattr(scheduler, "last_epoch", None), getattr(optimizer, "state", None)
    if not step or type(done) is not int or held is None:
        return None
    if type(scheduler).__name__ in AT_EVALUATIONS:
        return None
    return (step,) if done == 0 and not len(held) else ()


def _unwrapped(scheduler: Any) -> Any:
    """Return the scheduler inside accelerate's wrapper."""
    return getattr(scheduler, "scheduler", scheduler)
