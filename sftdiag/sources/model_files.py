"""Files beside a log, config.json and adapter_config.json first: what they say of the run.

``training_args.bin`` lies there too and says more, but it is a pickle: reading it runs its code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sftdiag.context import RunContext, adapter_method
from sftdiag.hints import Any
from sftdiag.records import as_float, as_positive

WRITES = (("llama-factory", ("trainer_log.jsonl",)), ("ms-swift", ("logging.jsonl", "args.json")))
"""Frameworks that train with transformers' trainer, and files of their own beside its state."""


def context(folders: tuple[str, ...]) -> RunContext:
    """Return what the model's files in these folders say; unreadable files say nothing."""
    adapter = _first(folders, "adapter_config.json")
    model = _first(folders, "config.json")
    quantization = model.get("quantization_config")
    bits = _quantization(quantization) if isinstance(quantization, Mapping) else None
    text = model.get("text_config")
    inner: Mapping[str, Any] = text if isinstance(text, Mapping) else {}
    modules = adapter.get("target_modules")
    return RunContext(
        method=_method(adapter, model, bits),
        model_type=_text(model.get("model_type")),
        vocab_size=as_positive(model.get("vocab_size", inner.get("vocab_size"))),
        summed_loss=model.get("ctc_loss_reduction") == "sum" or None,
        dtype=_text(model.get("dtype") or model.get("torch_dtype")),
        quantization=bits,
        lora_r=as_positive(adapter.get("r")),
        lora_alpha=as_float(adapter.get("lora_alpha")),
        lora_dropout=as_float(adapter.get("lora_dropout")),
        target_modules=tuple(map(str, modules)) if isinstance(modules, list) else None,
        framework=next((name for name, files in WRITES if _beside(folders, files)), None),
    )


def _beside(folders: tuple[str, ...], files: tuple[str, ...]) -> bool:
    """Return whether one of the folders holds all of the files."""
    paths = ([os.path.join(folder, name) for name in files] for folder in folders)
    return any(all(map(os.path.isfile, each)) for each in paths)


def _first(folders: tuple[str, ...], name: str) -> Mapping[str, Any]:
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            import json  # most logs have none beside them

            try:
                with open(path, encoding="utf-8-sig") as file:
                    content = json.load(file)
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(content, Mapping):
                return content
    return {}


def _method(adapter: Mapping[str, Any], model: Mapping[str, Any], bits: str | None) -> str | None:
    kind = str(adapter.get("peft_type", "")).upper()
    if kind:
        return adapter_method(kind, bits)
    return "full" if model and not bits else None


def _quantization(config: Mapping[str, Any]) -> str | None:
    for bits in (4, 8):
        if config.get(f"load_in_{bits}bit") or config.get("bits") == bits:
            return f"{bits}bit"
    return _text(config.get("quant_method"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
