"""Setup: what a recommendation is asked for, and what follows from it by counting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from types import MappingProxyType

from sftdiag.errors import ConfigError
from sftdiag.ranges import (
    COVERAGE,
    LITTLE_DATA,
    MUCH_DATA,
    USUAL_BATCH,
    USUAL_MAX_LENGTH,
)
from sftdiag.tuning import memory
from sftdiag.tuning.rates import LARGE_DATA_BATCH
from sftdiag.tuning.recipes import PRESETS, TEMPLATE_SETTINGS, Preset
from sftdiag.values import Value

_SIZES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class Setup(Value):
    """The run that settings are wanted for.

    Attributes:
        samples: rows of the training set.
        parameters: parameters of the model.
        method: ``"full"``, ``"lora"``, ``"qlora"``, or None to choose by memory.
        gpus: number of GPUs; each holds a copy of the model.
        gpu_memory: GiB of one GPU, or None when unknown.
        lengths: share of the rows to the tokens that hold it, such as ``{0.95: 900}``.
        columns: names of the data's columns, where known.
        model: the model's name or path, for the code.
        data: the data's path, for the code.
        effective_batch: rows an optimizer step that are wanted, or None to choose by the guide.
        converted: the column that is rewritten before TRL trains on the rows, or None.

    Raises:
        ConfigError: a value is outside its domain.
    """

    samples: int
    parameters: float
    method: str | None = None
    gpus: int = 1
    gpu_memory: float | None = None
    lengths: Mapping[float, int] = MappingProxyType({})
    columns: tuple[str, ...] = ()
    model: str | None = None
    data: str | None = None
    effective_batch: int | None = None
    converted: str | None = None

    def _validate(self) -> None:
        for name in ("samples", "parameters", "gpus"):
            if not getattr(self, name) > 0:
                given = getattr(self, name)
                told = f"{name} must be above 0, got {given!r}"
                raise ConfigError(told).keyed("above_0", name=name, given=given)
        if self.effective_batch is not None and not self.effective_batch > 0:
            told = f"effective_batch must be above 0, got {self.effective_batch!r}"
            raise ConfigError(told).keyed(
                "above_0", name="effective_batch", given=self.effective_batch
            )
        if self.gpu_memory is not None and not self.gpu_memory > 0:
            told = f"gpu_memory must be above 0 GiB, got {self.gpu_memory!r}"
            raise ConfigError(told).keyed("above_0", name="gpu_memory", given=self.gpu_memory)
        if self.method is not None and self.method not in memory.METHODS:
            known = ", ".join(memory.METHODS)
            told = f"method must be one of {known}; got {self.method!r}"
            raise ConfigError(told).keyed("method", known=known, given=self.method)
        for share, tokens in self.lengths.items():
            if not (0 < share <= 1 and tokens > 0):
                told = f"lengths must map shares of 0 to 1 to tokens, got {share!r}: {tokens!r}"
                raise ConfigError(told).keyed("shares", share=share, tokens=tokens)
        for (share, tokens), (more, fewer) in pairwise(sorted(self.lengths.items())):
            if fewer < tokens:
                raise ConfigError(
                    f"lengths must not fall as the share of rows grows, got {share:g}: {tokens}, "
                    f"{more:g}: {fewer}"
                ).keyed("falls", share=share, tokens=tokens, more=more, fewer=fewer)

    @property
    def conversations(self) -> bool:
        """Whether the rows are conversations, or become some in the script."""
        return any(name in self.columns for name in ("messages", "conversations", "conversation"))

    @property
    def covered(self) -> tuple[float, int] | None:
        """The share that max_length is chosen by and its tokens: the guide's 95 %, else 90 %."""
        for share in sorted(self.lengths, key=lambda share: (share < COVERAGE.high, share)):
            if share >= COVERAGE.low:
                return share, self.lengths[share]
        return None

    @property
    def max_length(self) -> int:
        """The covered length rounded up to a power of two, or the guide's usual one."""
        if self.covered is None:
            return USUAL_MAX_LENGTH
        return power_of_two(self.covered[1])

    @property
    def preset(self) -> Preset:
        """The guide's preset for this much data, as far as the model's size allows."""
        index = next(i for i, preset in enumerate(PRESETS) if self.samples in preset.samples)
        if self.parameters < PRESETS[index].parameters.low:
            index = max(0, index - 1)
        return PRESETS[index]

    @property
    def little_data(self) -> bool:
        """Whether the guide calls this little data."""
        return self.samples < LITTLE_DATA

    def chosen_method(self) -> str:
        """Return the method asked for, else the one with most capacity that fits; LoRA unasked."""
        if self.method is not None:
            return self.method
        if self.gpu_memory is None:
            return "lora"
        fitting = [m for m in memory.METHODS if self.fits(m, 1)]
        return fitting[0] if fitting else memory.METHODS[-1]

    def _guides_batch(self, method: str) -> int:
        """Return the rows an optimizer step of the guide's table for this much data."""
        if self.little_data:
            return USUAL_BATCH // 2
        return LARGE_DATA_BATCH[method] if self.samples >= MUCH_DATA else USUAL_BATCH

    def fits(self, method: str, rows: int) -> bool:
        """Return whether ``rows`` rows a device should fit; True when the memory is unknown."""
        if self.gpu_memory is None:
            return True
        return memory.fits(method, self.parameters, rows, self.max_length, self.gpu_memory)

    def batch(self, method: str) -> tuple[int, int]:
        """Return rows a device and accumulation, whose product with the GPUs is the batch wanted.

        Short of memory the rows shrink and the accumulation grows, so that the product stays.
        """
        wanted = self.effective_batch or self._guides_batch(method)
        rows = min(
            int(TEMPLATE_SETTINGS["per_device_train_batch_size"]), max(1, wanted // self.gpus)
        )
        while rows > 1 and not self.fits(method, rows):
            rows //= 2
        return rows, max(1, round(wanted / (rows * self.gpus)))


def power_of_two(tokens: int) -> int:
    """Return the smallest power of two that holds ``tokens``."""
    return 1 << max(0, tokens - 1).bit_length()


def steps(samples: int, epochs: float, batch: int) -> int:
    """Return the optimizer steps of a run."""
    return ceil(ceil(samples / batch) * epochs)


LARGEST = 1e15
"""Parameters that no model has, a hundred times more than any: a unit was written twice."""

SMALLEST = 1_000_000
"""Parameters of a model that is fine-tuned, at least: below it a unit was left out."""


def parse_size(text: str) -> float:
    """Return a number of parameters written as ``7B``, ``0.5B``, ``500M`` or ``7e9``.

    Raises:
        ConfigError: it is no such number, or too small for a model.
    """
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([KMBT]?)", text.strip().upper().replace("E", "e"))
    try:
        number, unit = match.groups() if match else ("", "")
        size = float(number) * _SIZES[unit]
        if not 0.0 < size < LARGEST:
            raise ValueError
    except ValueError:
        told = f"a model size is written as 7B, 500M or 7e9; got {text!r}"
        raise ConfigError(told).keyed("size", given=text) from None
    if size < SMALLEST:
        told = f"no model has {size:g} parameters; did you mean {number}B?"
        raise ConfigError(told).keyed("small_size", given=size, meant=f"{number}B")
    return size
