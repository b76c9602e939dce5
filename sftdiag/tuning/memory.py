"""An estimate of the GPU memory a run needs, from the sizes alone.

It decides which method fits and how many rows a device takes; the run itself has the last word.
"""

from __future__ import annotations

from math import cbrt

BYTES_PER_PARAMETER = {"full": 16.0, "lora": 2.0, "qlora": 0.6}
"""Weights, gradients and optimizer state a parameter. Full: float32 weights and gradients and two
Adam moments, 4 x 4 (Rajbhandari et al. 2020, ZeRO). LoRA: the frozen weights in bf16. QLoRA: 4 bits
and their constants (Dettmers et al. 2023), the embeddings in bf16."""

METHODS = ("full", "lora", "qlora")
"""From the most memory to the least."""

USABLE = 0.9
"""Share of a GPU that a run can use: the rest goes to CUDA and to fragmentation."""

LAYER_BYTES = 34
"""Bytes a token and hidden unit that one layer keeps for its gradient (Korthikanti et al. 2022),
attention scores aside, which flash and memory-efficient kernels do not keep."""

CHECKPOINT_BYTES = 2
"""Bytes a token, hidden unit and layer with gradient checkpointing: the layer's input in bf16."""

GIB = 2**30


def states_gib(method: str, parameters: float) -> float:
    """Return what weights, gradients and optimizer take, in GiB."""
    return BYTES_PER_PARAMETER[method] * parameters / GIB


def activations_gib(parameters: float, rows: int, length: int) -> float:
    """Return what the activations of ``rows`` rows of ``length`` tokens take, in GiB.

    Hidden size h and depth L follow from parameters = 12 L h^2 with h = 128 L, the shape of most
    decoders between 1B and 70B.
    """
    hidden = cbrt(parameters * 128 / 12)
    layers = hidden / 128
    return rows * length * hidden * (CHECKPOINT_BYTES * layers + LAYER_BYTES) / GIB


def fits(method: str, parameters: float, rows: int, length: int, gpu_gib: float) -> bool:
    """Return whether a run should fit on one GPU; the others hold copies of it."""
    needed = states_gib(method, parameters) + activations_gib(parameters, rows, length)
    return needed <= USABLE * gpu_gib
