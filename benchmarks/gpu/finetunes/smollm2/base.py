"""The base as transformers saves one, of the GGUF in which a package carries it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def make(gguf: Path, folder: Path, layers: int | None = None) -> None:
    """Save model and tokenizer, the weights in bfloat16, which loses nothing of 4 bits.

    Args:
        gguf: the file; the package ``gguf`` is needed.
        folder: where they go.
        layers: keep so many of the first layers, for tests on a CPU.
    """
    dequantize: Any = GgufConfig
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=dequantize(dequantize=True),
    )
    if layers:
        model.model.layers = model.model.layers[:layers]
        model.config.num_hidden_layers = layers
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
