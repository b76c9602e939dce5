"""What a run's optimizer says of itself where the trainer was given one: its kind and its rate.

Reads attributes only. The arguments speak where the trainer makes the optimizer by them.
"""

from __future__ import annotations

from typing import Any

from sftdiag.context import SGD
from sftdiag.records import as_float

ADAMW = "adamw_torch"
"""transformers' name for Adam of torch's: what another class of its kind is taken for."""

STAND_IN = "Dummy"
"""How accelerate's stand-ins for what DeepSpeed will make are called."""


def name(args: Any, optimizer: Any = None) -> str | None:
    """Return the optimizer's name in transformers, with momentum another: its steps are longer.

    That of its class where the trainer was given one of another kind than Adam and SGD, of whose
    rates nothing is known.
    """
    label = None if args.optim is None else str(getattr(args.optim, "value", args.optim))
    inner = _inner(optimizer)
    kind = type(inner).__name__
    if inner is None or kind.startswith(STAND_IN):
        momentum = "momentum" in str(args.optim_args)
    elif kind == "SGD":
        label, momentum = SGD, any(group.get("momentum") for group in _groups(inner))
    elif "adam" in kind.lower():
        return label if label is not None and "adam" in label else ADAMW
    else:
        asked = (label or "").partition("_")[0]
        is_asked = bool(asked) and (asked in kind.lower() or kind.lower() in str(label))
        return label if is_asked else kind
    return f"{SGD}_momentum" if label == SGD and momentum else label


def rate(args: Any, optimizer: Any = None, scheduler: Any = None) -> float | None:
    """Return the peak learning rate asked for: the highest of the optimizer's groups.

    The arguments' where there is no optimizer yet, and where a schedule that does not keep the
    groups' first rates has set them already.
    """
    inner, asked = _inner(optimizer), as_float(args.learning_rate)
    if type(inner).__name__.startswith(STAND_IN):
        return asked
    key = "lr" if scheduler is None else "initial_lr"
    groups = [group for group in _groups(inner) if group.get("params")]
    known = [as_float(group.get("initial_lr", group.get(key))) for group in groups]
    rates = [value for value in known if value is not None]
    return max(rates) if rates and len(rates) == len(known) else asked


def _inner(optimizer: Any) -> Any:
    """Return the optimizer inside of whatever wraps it, or None."""
    seen: set[int] = set()
    while (held := getattr(optimizer, "optimizer", None)) is not None and id(held) not in seen:
        seen.add(id(held))
        optimizer = held
    return optimizer


def _groups(optimizer: Any) -> list[Any]:
    groups = getattr(optimizer, "param_groups", None)
    return [group for group in groups or () if isinstance(group, dict)]
