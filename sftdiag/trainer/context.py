"""What a trainer, its arguments and its model say of the run. Reads attributes only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

from sftdiag.context import ORDERS, RunContext, adapter_method
from sftdiag.errors import ConfigError
from sftdiag.records import as_float, as_positive
from sftdiag.trainer import gradients, optimizers, schedules, smoothing, versions, weights
from sftdiag.trainer.datasets import length
from sftdiag.trainer.fingerprint import fingerprint

_PACKAGES = ("accelerate", "bitsandbytes", "datasets", "peft", "torch", "transformers", "trl")

_LIBRARIES = ("transformers", "trl")
"""Whose trainers make batches by the arguments."""

_LOSSES_OF = (*_LIBRARIES, "axolotl", "llamafactory", "swift", "unsloth")
"""Whose ``compute_loss`` is a mean over tokens as far as their arguments say; beginnings of
modules' names, in small letters: Unsloth compiles classes into modules of names of its own."""

_DROPOUTS = (
    "attention_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "resid_pdrop",
    "attn_pdrop",
    "embd_pdrop",
    "dropout",
)
"""What configurations of transformers call the dropout of a decoder."""


def expect_trainer(given: Any, told: str = "expected") -> None:
    """Refuse what is no trainer, before an attribute that it lacks says so in its own words.

    Raises:
        ConfigError: says what was expected, and where other loops go.
    """
    if not isinstance(given, type) and hasattr(given, "args") and hasattr(given, "train_dataset"):
        return
    kind = given if isinstance(given, type) else type(given)
    # Lightning's is called Trainer, too.
    what = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    raise ConfigError(
        f"{told} a transformers Trainer or one made of it, such as TRL's SFTTrainer; got {what}"
        + (" itself, not one of it" if isinstance(given, type) else "")
        + " (a loop of your own: sftdiag.Loop; Lightning: sftdiag.frameworks.lightning)"
    ).keyed("no_trainer", what=what)


def of_trainer(trainer: Any) -> RunContext:
    """Return all that is known of a run that a trainer is about to begin."""
    args, rows = trainer.args, length(trainer.train_dataset)
    batches = _epoch_batches(args, rows)
    state = SimpleNamespace(max_steps=_planned_steps(args, batches))
    parts = {"optimizer": trainer.optimizer, "lr_scheduler": trainer.lr_scheduler}
    known = from_callback(args, state, {"model": trainer.model, **parts})
    will_set_up = args.gradient_checkpointing or trainer.model_init is not None
    if known.unreached_parameters and will_set_up and not trainer.is_in_train:
        # Newer versions set checkpointing up when training begins, with what it needs.
        known = known.replace(unreached_parameters=None)
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        # They make float32 copies of the weights when training begins.
        known = known.replace(trainable_dtype=None, weight_scale=None)
    if getattr(trainer.state, "global_step", 0):
        known = known.replace(learning_rate=as_float(args.learning_rate))
    own = _makes_its_dataloaders(trainer)
    known = known.replace(epoch_batches=batches if own else None)
    if not own:
        known = known.replace(least_eval_rows=None)
    return from_trainer(trainer).filled_from(known)


def from_trainer(trainer: Any) -> RunContext:
    """Return what only a trainer knows."""
    evaluation = getattr(trainer, "eval_dataset", None)
    sets = list(evaluation.values()) if isinstance(evaluation, dict) else [evaluation]
    rows = [length(dataset) for dataset in sets]
    return RunContext(
        train_samples=length(getattr(trainer, "train_dataset", None)),
        eval_samples=None if None in rows else sum(n for n in rows if n is not None),
        completion_only_loss=_flag(trainer, "completion_only_loss"),
        formatting_ignored=_formatting_ignored(trainer),
        custom_loss=_own_loss(trainer),
        unshifted_model=smoothing.unshifted(trainer),
    )


def _own_loss(trainer: Any) -> bool:
    """Return whether the loss is the user's: a function, or a method of a class of theirs.

    What such a method adds (an auxiliary loss, weights of classes) is not known, and the method
    alone does not tell whether it adds anything.
    """
    if getattr(trainer, "compute_loss_func", None) is not None:
        return True
    makers = (kind for kind in type(trainer).__mro__ if "compute_loss" in vars(kind))
    maker = next(makers, None)
    return maker is not None and not maker.__module__.lower().startswith(_LOSSES_OF)


def _formatting_ignored(trainer: Any) -> bool | None:
    """Return whether TRL trains the messages of rows that a formatting function was given for."""
    if getattr(trainer, "_formatting_func", None) is None:
        return None
    columns = getattr(getattr(trainer, "train_dataset", None), "column_names", None)
    return "messages" in columns if columns else None


def from_callback(args: Any, state: Any, kwargs: Mapping[str, Any]) -> RunContext:
    """Return what a callback's arguments at ``on_train_begin`` say."""
    dataloader = kwargs.get("train_dataloader")
    model, optimizer = kwargs.get("model"), kwargs.get("optimizer")
    packing = _flag(args, "packing")
    of_weights = weights.look(model, optimizer, alone=args.world_size == 1)
    # A resume brings the rates of before, which the arguments may have changed.
    given = None if getattr(state, "global_step", 0) else optimizer
    known = RunContext(
        learning_rate=optimizers.rate(args, given, kwargs.get("lr_scheduler")),
        lr_scheduler_type=schedules.name(args, kwargs.get("lr_scheduler"), state.max_steps),
        warmup_steps=_warmup_steps(args, state.max_steps),
        schedule_steps=schedules.made_for(kwargs.get("lr_scheduler")),
        max_steps=as_positive(state.max_steps),
        num_train_epochs=as_float(args.num_train_epochs) if args.max_steps <= 0 else None,
        per_device_train_batch_size=as_positive(args.per_device_train_batch_size),
        gradient_accumulation_steps=as_positive(args.gradient_accumulation_steps),
        world_size=as_positive(args.world_size),
        deepspeed=getattr(args, "deepspeed_plugin", None) is not None,
        precision="bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        optim=optimizers.name(args, optimizer),
        unreached_parameters=gradients.unreached(model),
        max_grad_norm=as_float(args.max_grad_norm),
        weight_decay=optimizers.weight_decay(args, optimizer),
        adam_betas=optimizers.betas(args, optimizer),
        adam_epsilon=optimizers.epsilon(args, optimizer),
        own_optimizer=optimizers.own(args, given, kwargs.get("lr_scheduler")),
        moments_as_weights=optimizers.keeps_moments_as_weights(args, optimizer),
        label_smoothing=as_float(args.label_smoothing_factor),
        loss_type=_label(getattr(args, "loss_type", None)),
        metric_for_best_model=_label(args.metric_for_best_model),
        greater_is_better=_flag(args, "greater_is_better"),
        plateau_mode=schedules.plateau_mode(args, kwargs.get("lr_scheduler")),
        logging_nan_inf_filter=bool(args.logging_nan_inf_filter),
        epoch_batches=_batches_of(dataloader),
        least_eval_rows=_least_eval_rows(args),
        train_samples=length(getattr(dataloader, "dataset", None)),
        train_fingerprint=fingerprint(getattr(dataloader, "dataset", None)),
        max_length=as_positive(versions.max_length(args)),
        packing=packing,
        packing_strategy=_label(getattr(args, "packing_strategy", None)) if packing else None,
        assistant_only_loss=_flag(args, "assistant_only_loss"),
        completion_only_loss=_flag(args, "completion_only_loss"),
        sampler=versions.sampling(args),
        resumed_steps=_resumed(state),
        lost_state_steps=schedules.lost_state(state, kwargs),
        stream_pass=stream_pass(args, state, kwargs),
        versions=_versions(),
        framework=versions.words(args),
    )
    return known.filled_from(of_weights).filled_from(_from_model(model))


def _from_model(model: Any) -> RunContext:
    if model is None:
        return RunContext()
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    adapter = next(iter(getattr(model, "peft_config", {}).values()), None)
    bits = _quantization(model)
    return RunContext(
        method=_method(adapter, bits),
        model_type=getattr(config, "model_type", None),
        vocab_size=as_positive(getattr(text_config, "vocab_size", None)),
        summed_loss=getattr(config, "ctc_loss_reduction", None) == "sum" or None,
        embedding_rows=weights.embedding_rows(model),
        dtype=_label(getattr(model, "dtype", None)),
        quantization=bits,
        attn_implementation=_label(getattr(config, "_attn_implementation", None)),
        model_dropout=_dropout(text_config),
        lora_r=as_positive(getattr(adapter, "r", None)),
        lora_alpha=as_float(getattr(adapter, "lora_alpha", None)),
        lora_dropout=as_float(getattr(adapter, "lora_dropout", None)),
        target_modules=_names(getattr(adapter, "target_modules", None)),
        modules_to_save=_names(getattr(adapter, "modules_to_save", None)),
        experts_bare=weights.bare_experts(model) if adapter is not None else None,
        untied_embeddings=weights.untied(model) if adapter is not None else None,
    )


def _dropout(config: Any) -> float | None:
    """Return the largest dropout that a model's configuration names, or None."""
    values = [as_float(getattr(config, name, None)) for name in _DROPOUTS]
    return max((value for value in values if value is not None), default=None)


def _method(adapter: Any, bits: str | None) -> str | None:
    if adapter is None:
        return "full" if bits is None else None
    kind = str(getattr(adapter.peft_type, "value", adapter.peft_type)).upper()
    return adapter_method(kind, bits)


def _quantization(model: Any) -> str | None:
    for bits in (4, 8):
        if getattr(model, f"is_loaded_in_{bits}bit", False):
            return f"{bits}bit"
    return None


def _epoch_batches(args: Any, rows: int | None) -> int | None:
    """Return how many batches of so many rows each process gets, as the Trainer deals them out."""
    if not rows:
        return None
    share: float = rows / (args.train_batch_size * args.world_size)
    return floor(share) if args.dataloader_drop_last else ceil(share)


def _makes_its_dataloaders(trainer: Any) -> bool:
    """Return whether batches are what the arguments say, and each process has some of its own."""
    args = trainer.args
    kind = type(trainer)
    made = (kind.get_train_dataloader, kind.get_eval_dataloader)
    own = all(each.__module__.partition(".")[0] in _LIBRARIES for each in made)
    split = bool(getattr(getattr(args, "accelerator_config", None), "split_batches", False))
    shared = (
        getattr(args, "parallelism_config", None) or (getattr(trainer.model, "tp_size", 1) or 1) > 1
    )
    usual = versions.sampling(args) in (*ORDERS, None)
    return own and usual and not split and not shared


def _batches_of(dataloader: Any) -> int | None:
    """Return how many batches a dataloader gives in an epoch; None where it does not tell."""
    try:
        return len(dataloader)
    except Exception:  # That of a sampler of the user's own.
        return None


def _least_eval_rows(args: Any) -> int | None:
    """Return the rows without which an evaluation has no batch; None where few are one, too."""
    return args.eval_batch_size * args.world_size if args.dataloader_drop_last else None


def _planned_steps(args: Any, batches: int | None) -> int:
    """Return the optimizer steps of a run as the Trainer counts them, or 0 when unknown."""
    if args.max_steps > 0:
        return int(args.max_steps)
    if not batches:
        return 0
    steps: int = max(1, ceil(batches / args.gradient_accumulation_steps))
    epochs: float = args.num_train_epochs
    return ceil(epochs * steps)


def _resumed(state: Any) -> tuple[int, ...] | None:
    step = getattr(state, "global_step", None)
    return None if type(step) is not int else (step,) if step else ()


def stream_pass(args: Any, state: Any, kwargs: Mapping[str, Any]) -> int | None:
    """Return the pass over a stream that a run is resumed in, from 2 on; None where it is in none.

    A stream's epoch is the passes that are done and a share of the planned steps, up to 1 with the
    last one. With ``ignore_data_skip`` the stream is given from its place on.
    """
    dataset = getattr(kwargs.get("train_dataloader"), "dataset", None)
    if args.ignore_data_skip or dataset is None or length(dataset) is not None:
        return None
    epoch = as_float(getattr(state, "epoch", None)) if getattr(state, "global_step", 0) else None
    return ceil(epoch) if epoch is not None and epoch > 1 else None


def _warmup_steps(args: Any, max_steps: int) -> int | None:
    steps = args.get_warmup_steps(max_steps) if max_steps > 0 else None
    return steps if isinstance(steps, int) else None


def _versions() -> dict[str, str]:
    """Return the version of each training library that is loaded."""
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in _PACKAGES}
    return {name: str(version) for name, version in loaded.items() if version is not None}


def _flag(owner: Any, name: str) -> bool | None:
    value = getattr(owner, name, None)
    return value if isinstance(value, bool) else None


def _names(modules: Any) -> tuple[str, ...] | None:
    if isinstance(modules, str):
        return (modules,)
    return tuple(sorted(map(str, modules))) if isinstance(modules, (set, list)) else None


def _label(value: Any) -> str | None:
    """Return an enum's value or a dtype's name as a plain string."""
    if value is None:
        return None
    return str(getattr(value, "value", value)).removeprefix("torch.")
