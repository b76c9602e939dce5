"""What keeps a model that is asked as it was, and which models cannot be asked."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_SHARDED = ("DTensor", "FlatParameter")
_FSDP = ("FullyShardedDataParallel", "FSDPModule")

_PACKS = "support_avx512bf16_for_cpu"
"""Where bitsandbytes' 4-bit layers have it on, the first forward pass in evaluation mode on a CPU
packs their weights anew, and every later step of the training adds up in another order."""


def refusal(model: Any) -> str | None:
    """Return why a model cannot be asked (a key of the skipped texts), or None.

    Sharded weights: generation gathers them layer by layer on all ranks, and ranks whose replies
    end at different tokens wait for each other for ever.
    """
    config = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return "encoder_decoder"
    if getattr(config, "vision_config", None) is not None:
        return "vision"
    if not callable(getattr(model, "generate", None)) or not _generates(model):
        return "no_language_model"
    for parameter in model.parameters():
        if hasattr(parameter, "ds_id") or type(parameter).__name__ in _SHARDED:
            return "sharded"
        if type(getattr(parameter, "data", None)).__name__ in _SHARDED:
            return "sharded"
    names = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    return "sharded" if names.intersection(_FSDP) else None


def plain(model: Any) -> Any:
    """Return the model inside torch.compile's and data parallel wrappers, which need no asking."""
    model = getattr(model, "_orig_mod", model)
    wrapped = isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel))
    return model.module if wrapped else model


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Let the model be asked in evaluation mode without gradients, and give back all as it was.

    Given back: every module's mode, every parameter's ``requires_grad``, the generation and model
    configurations, the random numbers of Python, numpy, torch and the model's devices; and 4-bit
    weights stay packed as they are.
    """
    modes = [(module, module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    kept = [(thing, dict(vars(thing))) for thing in _configurations(model)]
    owners = [(m, m.generation_config) for m in _owners(model)]
    packing = [module for module in model.modules() if vars(module).get(_PACKS)]
    with ExitStack() as stack:
        stack.enter_context(_same_random_numbers(model))
        stack.enter_context(_quiet())
        stack.enter_context(torch.no_grad())
        try:
            model.eval()
            for module in packing:
                setattr(module, _PACKS, False)
            yield
        finally:
            for module in packing:
                setattr(module, _PACKS, True)
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in trained:
                parameter.requires_grad_(requires_grad)
            for owner, configuration in owners:
                owner.generation_config = configuration
            for thing, state in kept:
                vars(thing).clear()
                vars(thing).update(state)


def seed(model: Any, value: int) -> None:
    """Seed the generators that sampling from the model draws from, and no others."""
    torch.default_generator.manual_seed(value)
    for index in _cuda_devices(model):
        torch.cuda.default_generators[index].manual_seed(value)


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Switch a PEFT adapter off; ask only inside :func:`untouched`, which mends what it changes."""
    with model.disable_adapter():
        yield


def has_adapter(model: Any) -> bool:
    """Return whether the model is another one with a PEFT adapter that can be switched off."""
    return bool(getattr(model, "peft_config", None)) and hasattr(model, "disable_adapter")


@contextmanager
def _same_random_numbers(model: Any) -> Iterator[None]:
    numpy = sys.modules.get("numpy")
    ours, theirs = random.getstate(), numpy.random.get_state() if numpy is not None else None
    kind = next((p.device.type for p in model.parameters()), "cpu")
    with ExitStack() as stack:
        if kind in ("cpu", "cuda"):
            stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(model)))
        else:
            stack.enter_context(torch.random.fork_rng(device_type=kind))
        try:
            yield
        finally:
            random.setstate(ours)
            if numpy is not None:
                numpy.random.set_state(theirs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' advice on generation out of the run's log."""
    advisor = logging.getLogger("transformers")
    level = advisor.level
    advisor.setLevel(logging.ERROR)
    try:
        yield
    finally:
        advisor.setLevel(level)


def _cuda_devices(model: Any) -> list[int]:
    devices = {p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}
    return sorted(devices)


def _owners(model: Any) -> list[Any]:
    """Return the modules that hold a generation configuration; PEFT's wrappers only pass it on."""
    return [m for m in model.modules() if vars(m).get("generation_config") is not None]


def _configurations(model: Any) -> list[Any]:
    things = [m.generation_config for m in _owners(model)]
    for module in model.modules():
        config = getattr(module, "config", None)
        if hasattr(config, "use_cache"):
            things.append(config)
    return list({id(thing): thing for thing in things}.values())


def _generates(model: Any) -> bool:
    can = getattr(model, "can_generate", None)
    return bool(can()) if callable(can) else True
