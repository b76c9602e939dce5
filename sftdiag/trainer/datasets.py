"""How many rows a dataset has, and how to read some without a trace."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def length(dataset: Any) -> int | None:
    """Return the number of rows without reading one; None for a stream or no dataset."""
    if dataset is None or isinstance(dataset, dict) or not hasattr(dataset, "__getitem__"):
        return None
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


@contextmanager
def untouched_rng() -> Iterator[None]:
    """Give back the states of the global random number generators as they were."""
    import torch

    numpy = sys.modules.get("numpy")
    states = (random.getstate(), torch.get_rng_state(), numpy and numpy.random.get_state())
    try:
        yield
    finally:
        random.setstate(states[0])
        torch.set_rng_state(states[1])
        if numpy is not None:
            numpy.random.set_state(states[2])
