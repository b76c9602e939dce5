"""What a trainer, its arguments and its model say of the run. Reads attributes only."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from sftdiag.context import RunContext
from sftdiag.records import as_float, as_positive

_PROMPT_METHODS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")


def from_callback(args: Any, state: Any, kwargs: Mapping[str, Any]) -> RunContext:
    """Return what a callback's arguments at ``on_train_begin`` say."""
    dataloader = kwargs.get("train_dataloader")
    return RunContext(
        learning_rate=as_float(args.learning_rate),
        lr_scheduler_type=_label(args.lr_scheduler_type),
        warmup_steps=_warmup_steps(args, state.max_steps),
        max_steps=as_positive(state.max_steps),
        num_train_epochs=as_float(args.num_train_epochs) if args.max_steps <= 0 else None,
        per_device_train_batch_size=as_positive(args.per_device_train_batch_size),
        gradient_accumulation_steps=as_positive(args.gradient_accumulation_steps),
        world_size=as_positive(args.world_size),
        precision="bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        optim=_label(args.optim),
        max_grad_norm=as_float(args.max_grad_norm),
        loss_type=_label(getattr(args, "loss_type", None)),
        metric_for_best_model=_label(args.metric_for_best_model),
        logging_nan_inf_filter=bool(args.logging_nan_inf_filter),
        train_samples=_length(getattr(dataloader, "dataset", None)),
    ).filled_from(_from_model(kwargs.get("model")))


def of_trainer(trainer: Any) -> RunContext:
    """Return all that is known of a run that a trainer is about to begin."""
    kwargs = {"model": trainer.model, "train_dataloader": None}
    return from_trainer(trainer).filled_from(from_callback(trainer.args, trainer.state, kwargs))


def from_trainer(trainer: Any) -> RunContext:
    """Return what only a trainer knows."""
    return RunContext(
        train_samples=_length(getattr(trainer, "train_dataset", None)),
        eval_samples=_length(getattr(trainer, "eval_dataset", None)),
    )


def _from_model(model: Any) -> RunContext:
    if model is None:
        return RunContext()
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    adapter = next(iter(getattr(model, "peft_config", {}).values()), None)
    bits = _quantization(model)
    modules = getattr(adapter, "target_modules", None)
    return RunContext(
        method=_method(adapter, bits),
        model_type=getattr(config, "model_type", None),
        vocab_size=as_positive(getattr(text_config, "vocab_size", None)),
        dtype=_label(getattr(model, "dtype", None)),
        quantization=bits,
        trainable_parameters=sum(n for n, trained in counts if trained) or None,
        total_parameters=sum(n for n, _ in counts) or None,
        lora_r=as_positive(getattr(adapter, "r", None)),
        lora_alpha=as_float(getattr(adapter, "lora_alpha", None)),
        lora_dropout=as_float(getattr(adapter, "lora_dropout", None)),
        target_modules=tuple(sorted(map(str, modules)))
        if isinstance(modules, (set, list))
        else None,
    )


def _method(adapter: Any, bits: str | None) -> str | None:
    if adapter is None:
        return "full" if bits is None else None
    kind = str(getattr(adapter.peft_type, "value", adapter.peft_type)).upper()
    if "LORA" in kind:
        return "qlora" if bits else "lora"
    return "prompt-tuning" if kind in _PROMPT_METHODS else None


def _quantization(model: Any) -> str | None:
    for bits in (4, 8):
        if getattr(model, f"is_loaded_in_{bits}bit", False):
            return f"{bits}bit"
    return None


def _warmup_steps(args: Any, max_steps: int) -> int | None:
    steps = args.get_warmup_steps(max_steps) if max_steps > 0 else None
    return steps if isinstance(steps, int) else None


def _label(value: Any) -> str | None:
    """Return an enum's value or a dtype's name as a plain string."""
    if value is None:
        return None
    return str(getattr(value, "value", value)).removeprefix("torch.")


def _length(dataset: Any) -> int | None:
    """Return the number of rows without reading one; None for a stream."""
    try:
        return (
            len(dataset) if isinstance(dataset, Sized) and not isinstance(dataset, dict) else None
        )
    except (TypeError, NotImplementedError):
        return None
