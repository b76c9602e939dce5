"""Which trainable weights no gradient reaches: those inside of reentrant checkpoints.

torch's reentrant checkpoint gives its output a gradient only where its input has one. Behind frozen
embeddings no input has, unless a hook on the embeddings asks for it: then what is trained inside of
the checkpointed layers, such as an adapter, stays as it is. Reads attributes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sftdiag.trainer.weights import count


def unreached(model: Any) -> int | None:
    """Return how many trainable numbers no gradient reaches; None where it is not known.

    Known only where nothing else can give the layers' input a gradient: no hook on the embeddings
    or on a layer, and nothing trainable before the first layer.

    Args:
        model: the model, or None.
    """
    layers = _layers(model)
    if not layers:
        return None
    if not _reentrant(layers[0]):
        return 0
    embeddings = model.get_input_embeddings()
    if any(map(_has_hooks, (embeddings, *layers))):
        return None
    trained = [p for p in model.parameters() if p.requires_grad]
    inside = {id(p) for layer in layers for p in layer.parameters()}
    head = model.get_output_embeddings()
    behind = {id(p) for p in head.parameters()} if head is not None else set()
    behind -= {id(p) for p in embeddings.parameters()}
    if any(id(p) not in inside | behind for p in trained):
        # What stands before the layers gives their input a gradient.
        return None
    lost: list[Any] = []
    for layer in layers:
        own = [p for p in layer.parameters() if p.requires_grad]
        if not _reentrant(layer) and own:
            break
        lost += own
    return count(lost)


def _layers(model: Any) -> list[Any]:
    """Return a model's layers in turn, where transformers can checkpoint them; outermost only."""
    if model is None or not hasattr(model, "get_input_embeddings"):
        return []
    found: list[Any] = []
    within: set[int] = set()
    for module in model.modules():
        if id(module) in within or not _is_layer(module):
            continue
        found.append(module)
        within.update(map(id, module.modules()))
    return found


def _is_layer(module: Any) -> bool:
    return any(kind.__name__ == "GradientCheckpointingLayer" for kind in type(module).__mro__)


def _reentrant(layer: Any) -> bool:
    """Return whether a layer is checkpointed, and surely the reentrant way."""
    function = getattr(layer, "_gradient_checkpointing_func", None)
    return bool(
        getattr(layer, "gradient_checkpointing", False)
        and (getattr(function, "keywords", None) or {}).get("use_reentrant") is True
    )


def _has_hooks(module: Any) -> bool:
    hooks: Iterable[Any] = (
        getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks")
    )
    return any(hooks)
