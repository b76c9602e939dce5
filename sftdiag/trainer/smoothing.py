"""Whether the Trainer's own label smoothing compares each token's output with the next token.

transformers' Trainer makes the smoothed loss from the logits and shifts the labels only where the
class of the model is called as one of its causal language models. It looks the class up from the
outside: a compiled model has the compiler's class, one with a learned prefix that of the model
below its head, and most models that read images as well are not among them. Reads attributes only.

References:
    transformers 5.23, Trainer.compute_loss; accelerate 1.15, Accelerator.unwrap_model.
    findings/label_smoothing_learns_to_copy.sh.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

DECODERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
"""How the classes end whose own loss is that of the next token, encoder-decoders left out."""


def unshifted(trainer: Any) -> str | None:
    """Return the class by which a trainer finds no causal model in one, or None where all is well.

    None, too, where there is no smoothing, where the loss is not the Trainer's own (TRL's shifts
    always), and for models that do not predict the next token.
    """
    model, args = getattr(trainer, "model", None), getattr(trainer, "args", None)
    if model is None or not getattr(args, "label_smoothing_factor", 0) or not _own_loss(trainer):
        return None
    inner = getattr(model, "_orig_mod", model)
    if not _predicts_next(inner):
        return None
    asked = _looked_up(model, inner, trainer)
    auto = sys.modules["transformers"].models.auto.modeling_auto
    return None if asked in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() else asked


def _own_loss(trainer: Any) -> bool:
    own = sys.modules["transformers"].Trainer.compute_loss
    given = getattr(trainer, "compute_loss_func", None)
    return given is None and getattr(type(trainer), "compute_loss", None) is own


def _predicts_next(model: Any) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config: Any = getattr(base, "config", None)
    if config is None or getattr(config, "is_encoder_decoder", False):
        return False
    return type(base).__name__.endswith(DECODERS)


def _looked_up(model: Any, inner: Any, trainer: Any) -> str:
    """Return the name that the Trainer looks up, as it does once the model is prepared."""
    if inner is not model or (trainer.args.torch_compile and _keeps_compiled(trainer)):
        return "OptimizedModule"
    if hasattr(model, "peft_config") and hasattr(model, "base_model"):
        return type(model.base_model.model).__name__
    return type(model).__name__


def _keeps_compiled(trainer: Any) -> bool:
    """Return whether accelerate leaves the compiler's wrapper on; older versions take it off."""
    taken = inspect.signature(trainer.accelerator.unwrap_model).parameters
    return "keep_torch_compile" in taken and bool(taken["keep_torch_compile"].default)
