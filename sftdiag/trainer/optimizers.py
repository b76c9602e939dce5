"""What a run's optimizer says of itself where the trainer was given one: its kind and its settings.

Reads attributes only. The arguments speak where the trainer makes the optimizer by them.
"""

from __future__ import annotations

from math import isclose
from typing import Any

from sftdiag.context import SGD
from sftdiag.records import as_float

ADAMW = "adamw_torch"
"""transformers' name for Adam of torch's: what another class of its kind is taken for."""

OF_TORCH = (ADAMW, "adamw_torch_fused")
"""transformers' names for the Adam that torch has."""

OF_FLOAT32 = 1e-6
"""What two numbers may differ by of which one was kept in a float32, as a rate in a tensor is."""

STAND_IN = "Dummy"
"""What the names of stand-ins hold: accelerate's for what DeepSpeed will make, and
transformers' for optimizers of a weight each."""


def name(args: Any, optimizer: Any = None) -> str | None:
    """Return the optimizer's name in transformers, with momentum another: its steps are longer.

    That of its class where the trainer was given one of another kind than Adam and SGD, of whose
    rates nothing is known.
    """
    label = None if args.optim is None else str(getattr(args.optim, "value", args.optim))
    inner = inner_of(optimizer)
    kind = type(inner).__name__
    if inner is None:
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
    inner, asked = inner_of(optimizer), as_float(args.learning_rate)
    key = "lr" if scheduler is None else "initial_lr"
    groups = [group for group in _groups(inner) if group.get("params")]
    known = [as_float(group.get("initial_lr", group.get(key))) for group in groups]
    rates = [value for value in known if value is not None]
    return max(rates) if rates and len(rates) == len(known) else asked


def betas(args: Any, optimizer: Any = None) -> tuple[float, ...] | None:
    """Return the decays of Adam's two moments; None where the optimizer's groups have several."""
    known = _of_groups(optimizer, "betas")
    pairs = {_pair(value) for value in known or ((args.adam_beta1, args.adam_beta2),)}
    return pairs.pop() if len(pairs) == 1 else None


def epsilon(args: Any, optimizer: Any = None) -> float | None:
    """Return what Adam adds to the root of its second moment, likewise."""
    known = {as_float(value) for value in _of_groups(optimizer, "eps") or (args.adam_epsilon,)}
    return known.pop() if len(known) == 1 else None


def weight_decay(args: Any, optimizer: Any = None) -> float | None:
    """Return the largest decay of the groups; None where Adam divides it by the gradient's size."""
    known = _of_groups(optimizer, "weight_decay")
    if known is None:
        return as_float(args.weight_decay)
    inner = inner_of(optimizer)
    apart = type(inner).__name__ != "Adam"
    if not all(group.get("decoupled_weight_decay", apart) for group in _groups(inner)):
        return None
    return max((each for value in known if (each := as_float(value)) is not None), default=None)


def keeps_moments_as_weights(args: Any, optimizer: Any = None) -> bool:
    """Return whether Adam's moments are of the weights' dtype, as in torch's own Adam."""
    inner = inner_of(optimizer)
    if inner is None:
        return name(args) in OF_TORCH
    return "Adam" in type(inner).__name__ and type(inner).__module__.startswith("torch.optim")


def own(args: Any, optimizer: Any = None, scheduler: Any = None) -> str | None:
    """Return the optimizer's class where it goes by other settings than the arguments, or None."""
    inner = inner_of(optimizer)
    if inner is None:
        return None
    pairs = (
        (as_float(args.learning_rate), rate(args, optimizer, scheduler)),
        *zip(betas(args) or (), betas(args, optimizer) or (), strict=False),
        (epsilon(args), epsilon(args, optimizer)),
    )
    same = all(a is None or b is None or isclose(a, b, rel_tol=OF_FLOAT32) for a, b in pairs)
    return None if same and name(args, optimizer) == name(args) else type(inner).__name__


def _pair(value: Any) -> tuple[float, ...] | None:
    """Return two decays as numbers; None for what is none, or more."""
    known = [as_float(each) for each in value] if isinstance(value, (list, tuple)) else []
    pair = tuple(each for each in known if each is not None)
    return pair if len(pair) == len(known) == 2 else None


def _of_groups(optimizer: Any, key: str) -> list[Any] | None:
    """Return what each group says; None where there is no optimizer, or one says nothing."""
    inner = inner_of(optimizer)
    if inner is None:
        return None
    groups = [group for group in _groups(inner) if group.get("params")]
    known = [group.get(key) for group in groups]
    return known if known and None not in known else None


def inner_of(optimizer: Any) -> Any:
    """Return the optimizer inside of whatever wraps it; None where there is none, or a stand-in."""
    seen: set[int] = set()
    while (held := getattr(optimizer, "optimizer", None)) is not None and id(held) not in seen:
        seen.add(id(held))
        optimizer = held
    return None if STAND_IN in type(optimizer).__name__ else optimizer


def _groups(optimizer: Any) -> list[Any]:
    groups = getattr(optimizer, "param_groups", None)
    return [group for group in groups or () if isinstance(group, dict)]
