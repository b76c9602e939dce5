"""What a trainer's scheduler and optimizer say: which schedule it is, and whether it was resumed.

The trainer has loaded their states before ``on_train_begin``, or has not: both files of a
checkpoint or neither. Reads attributes only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from sftdiag.detectors.learning_rate_restarted import PLATEAU

AT_EVALUATIONS = ("ReduceLROnPlateau", "GreedyLR")
"""Schedulers that step at evaluations: at their beginning they say nothing of the run's steps."""

WAIT = (PLATEAU, "greedy")
"""transformers' names of the same two."""

HALF_COSINE = 0.5
"""transformers' num_cycles of a cosine that falls from its peak to 0; any other ends elsewhere."""


def name(args: Any, scheduler: Any, steps: int = 0) -> str | None:
    """Return the scheduler's name in transformers, or what another one is called.

    ``args`` name one also where the trainer was given a scheduler of the user's own, be it another
    one of transformers'. One that does not end as its name says is called by what differs, too: a
    cosine of other than half a wave, or a decay over other steps than those planned.

    Args:
        args: the run's TrainingArguments.
        scheduler: the one in use; None where it is not known yet.
        steps: optimizer steps planned; 0 where they are unknown.
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
    if not str(getattr(maker, "__module__", "")).startswith("transformers."):
        return str(getattr(maker, "__name__", kind))
    settings = getattr(factors[0], "keywords", {}) if factors else {}
    if factors and not _is_made_for(label, maker, settings):
        return str(maker.__name__)
    usual: dict[str, float] = {"num_training_steps": steps} if steps else {}
    if label == "cosine":
        usual["num_cycles"] = HALF_COSINE
    odd = [f"{key}={settings[key]}" for key in usual if settings.get(key, usual[key]) != usual[key]]
    return ", ".join([str(label), *odd]) if odd else label


def plateau_mode(args: Any, scheduler: Any) -> str | None:
    """Return what a schedule that waits for a plateau takes for better: ``"min"`` or ``"max"``.

    None where the schedule is another one. transformers makes both with the mode of
    lr_scheduler_kwargs, else with ``"min"``, whatever greater_is_better says.
    """
    scheduler = _unwrapped(scheduler)
    if scheduler is not None:
        waits = type(scheduler).__name__ in AT_EVALUATIONS
        return str(scheduler.mode) if waits else None
    if getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type) not in WAIT:
        return None
    settings = args.lr_scheduler_kwargs
    return str(settings.get("mode", "min")) if isinstance(settings, Mapping) else "min"


def made_for(scheduler: Any) -> int | None:
    """Return the optimizer steps after which a schedule of transformers' has run down, or None."""
    factors = getattr(_unwrapped(scheduler), "lr_lambdas", None)
    settings = getattr(factors[0], "keywords", {}) if factors else {}
    steps = settings.get("num_training_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _is_made_for(label: str | None, maker: Any, settings: Mapping[str, Any]) -> bool:
    """Return whether the scheduler of this name takes its factors from this function.

    transformers' function for a name calls the one that makes the factors by its name. The plain
    cosine and that with a least rate share one.
    """
    functions = sys.modules["transformers.optimization"].TYPE_TO_SCHEDULER_FUNCTION
    makes = functions[label].__code__.co_names if label in functions else ()
    ends_at_0 = not settings.get("min_lr_rate")
    return maker.__name__ in makes and (ends_at_0 or label != "cosine")


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


def rate_of(trainer: Any) -> Callable[[], Any]:
    """Return what tells the rate of the step that is being made, at any time before it is done.

    Transformers' schedules are all of one kind, whose optimizer is asked: it steps with the rate of
    its groups, also where a callback has set that and the schedule, which the log goes by, knows
    nothing of it. For others the trainer is.
    """
    from torch.optim.lr_scheduler import LambdaLR, LRScheduler

    inner = _unwrapped(getattr(trainer, "lr_scheduler", None))
    if isinstance(inner, LambdaLR) and not trainer.is_deepspeed_enabled:
        # Inside accelerate's wrapper, as the scheduler is.
        held: Any = _optimizer_of(inner)
        if held is not None and held is _optimizer_of(trainer):
            # A state that is loaded brings other groups: they are looked up anew.
            return lambda: held.param_groups[0]["lr"]
        # What get_last_lr() returns, which behind a step is a cold function.
        if hasattr(inner, "_last_lr") and type(inner).get_last_lr is LRScheduler.get_last_lr:
            return lambda: inner._last_lr[0]
        return lambda: inner.get_last_lr()[0]
    rate: Callable[[], Any] = trainer._get_learning_rate
    return rate


def _optimizer_of(owner: Any) -> Any:
    """Return the optimizer that a scheduler or a trainer holds, or None."""
    optimizer = getattr(owner, "optimizer", None)
    return getattr(optimizer, "optimizer", optimizer)


def _unwrapped(scheduler: Any) -> Any:
    """Return the scheduler inside accelerate's wrapper."""
    return getattr(scheduler, "scheduler", scheduler)
