"""What a model's weights and its optimizer say: how many, in which format, and held by whom.

Reads attributes, and a few thousand numbers of weights that are bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftdiag.context import RunContext

TENSORS, NUMBERS = 8, 1024
"""Weights that are looked at, evenly spaced, and numbers of each: enough for a tenth of them."""

ROUNDS = ("torch.", "transformers.", "bitsandbytes.", "apex.")
"""Where optimizers come from that round to the nearest number; others may round at random, or keep
what rounding took off."""

SHARE = 0.1
"""The quantile of their magnitude: nine of ten weights are larger."""

EXPERT_DIMENSIONS = 3
"""Of a parameter that holds the matrices of all experts of a layer; their biases have two."""

COPIES = (
    "fp32_partitioned_groups_flat",
    "single_partition_of_fp32_groups",
    "fp32_groups_flat_partition",
    "fp32_groups_flat",
)
"""Where DeepSpeed's optimizers (ZeRO 3, ZeRO 1 and 2, bf16, fp16) keep the float32 weights."""


def look(model: Any, optimizer: Any = None, *, alone: bool = True) -> RunContext:
    """Return what is known of the weights.

    Args:
        model: the model, or None.
        optimizer: the run's, where there is one yet; accelerate's and DeepSpeed's are unwrapped.
        alone: the run has one process, so that no weight was replaced by a part of it.
    """
    if model is None:
        return RunContext()
    all_of_it = list(model.parameters())
    trained = [p for p in all_of_it if p.requires_grad]
    total = count(all_of_it)
    dtype = _stepped_in(trained, optimizer)
    plain = dtype == "bfloat16" and alone and _rounds(optimizer)
    return RunContext(
        trainable_parameters=None if total is None else count(trained),
        total_parameters=total,
        trainable_dtype=dtype,
        weight_scale=_scale(trained) if plain else None,
        outside_optimizer=_outside(trained, optimizer) if alone else None,
    )


def count(parameters: list[Any]) -> int | None:
    """Return how many numbers the parameters hold, or None where it is not known.

    ZeRO-3 leaves a rank tensors without elements, and keeps their true number beside them.
    """
    numbers = [int(getattr(p, "ds_numel", None) or p.numel()) for p in parameters]
    unknown = bool(parameters) and not sum(numbers)
    return None if unknown else sum(numbers)


def embedding_rows(model: Any) -> int | None:
    """Return for how many token ids a model of text has an embedding, or None.

    Models of images or sounds take the ids of these without one.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config") or config.get_text_config() is not config:
        return None
    embeddings: Any
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:
        return None
    while (inner := getattr(embeddings, "base_layer", None)) is not None:
        embeddings = inner
    # Modules that an adapter trains by copies hold the original one.
    embeddings = getattr(embeddings, "original_module", embeddings)
    rows = getattr(embeddings, "num_embeddings", None)
    weight: Any = getattr(embeddings, "weight", None)
    shape: Any = getattr(weight, "ds_shape", None) or getattr(weight, "shape", ())
    known = [size for size in (rows, *shape[:1]) if isinstance(size, int) and size > 0]
    # Packed weights have fewer rows than what they stand for.
    return max(known) if isinstance(rows, int) and known else None


def untied(model: Any) -> str | None:
    """Return which of a model's shared embeddings an adapter trains by itself, or None."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    if not getattr(text, "tie_word_embeddings", False):
        return None
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if None in ends:
        return None
    first, last = ({id(p) for p in end.parameters() if p.requires_grad} for end in ends)
    if bool(first) == bool(last):
        return None
    return "input" if first else "output"


def bare_experts(model: Any) -> float | None:
    """Return the share of the weights that is in experts of which no layer is trained, or None.

    Experts are the parameters of transformers 5 that hold those of a layer in one: a target that
    names linear layers does not reach them by itself. Kept as linear layers they are like others.
    """
    experts = []
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        if "experts" not in parts or "router" in parts:
            continue
        if parameter.requires_grad:
            return None
        if len(getattr(parameter, "ds_shape", parameter.shape)) == EXPERT_DIMENSIONS:
            experts.append(parameter)
    held, total = count(experts), count(list(model.parameters()))
    return held / total if held and total else None


def _stepped_in(trained: list[Any], optimizer: Any) -> str | None:
    """Return the dtype of what the optimizer changes, or None."""
    held = next(_held(optimizer), None)
    if held is None and any(hasattr(p, "ds_id") for p in trained):
        return None
    dtype = getattr(held if held is not None else next(iter(trained), None), "dtype", None)
    return None if dtype is None else str(dtype).removeprefix("torch.")


def _rounds(optimizer: Any) -> bool:
    """Return whether the optimizer, inside of whatever wraps it, rounds to the nearest number."""
    while (inner := getattr(optimizer, "optimizer", None)) is not None:
        optimizer = inner
    return optimizer is None or type(optimizer).__module__.startswith(ROUNDS)


def _held(optimizer: Any) -> Iterator[Any]:
    """Yield the tensors that an optimizer steps, inside of whatever wraps it."""
    seen: set[int] = set()
    while optimizer is not None and id(optimizer) not in seen:
        seen.add(id(optimizer))
        # transformers' stand-in for an optimizer a weight holds them under the weights.
        yield from getattr(optimizer, "optimizer_dict", None) or ()
        for name in COPIES:
            yield from _flat(getattr(optimizer, name, None))
        for group in getattr(optimizer, "param_groups", None) or ():
            yield from group["params"]
        optimizer = getattr(optimizer, "optimizer", None)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    elif hasattr(value, "dtype"):
        yield value


def _outside(trained: list[Any], optimizer: Any) -> int | None:
    """Return how many trainable numbers the optimizer does not step, or None."""
    if optimizer is None or any(hasattr(p, "ds_id") for p in trained):
        return None
    held = {id(tensor) for tensor in _held(optimizer)}
    return count([p for p in trained if id(p) not in held]) if held else None


def _scale(trained: list[Any]) -> float | None:
    """Return the magnitude that nine of ten of the weights exceed, from a few of them."""
    import torch

    matrices = [p for p in trained if p.dim() > 1 and p.numel() and not hasattr(p, "to_local")]
    if not matrices:
        return None
    parts = []
    for place in range(min(TENSORS, len(matrices))):
        flat = matrices[place * len(matrices) // min(TENSORS, len(matrices))].detach().reshape(-1)
        parts.append(flat[:: max(1, flat.numel() // NUMBERS)][:NUMBERS].abs().float().cpu())
    numbers = torch.cat(parts)
    return float(numbers.kthvalue(max(1, int(SHARE * numbers.numel()))).values)
