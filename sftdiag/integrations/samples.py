"""Samples from a dataset and a collator, without a dataloader, a batch or a random number.

Rows are read by ``dataset[i]`` at fixed, evenly spaced places and collated one at a time, so that
every rank sees the same and no sampler is asked.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sftdiag.observations import Skip
from sftdiag.samples import Sample, Split

ROWS = 256
"""Rows looked at unless all are asked for: a fault in 1.5 % of the rows shows (95 %)."""


class Unreadable(Exception):
    """A row that does not become a Sample; carries the Skip that says why."""

    def __init__(self, key: str, **values: str) -> None:
        self.skip = Skip(key, values)
        super().__init__(key)


def read_split(
    name: str,
    dataset: Any,
    collate: Callable[[list[Any]], Any],
    columns: Collection[str] | None = None,
    *,
    full: bool = False,
) -> Split:
    """Return rows of a dataset as the loss would see them.

    Args:
        name: of the split.
        dataset: anything with ``__len__`` and ``__getitem__``; others are left untouched.
        collate: makes a batch of a list of rows.
        columns: those that the trainer hands to the collator; None means all.
        full: read every row.
    """
    total = length(dataset)
    if dataset is None:
        return Split(name, unseen=Skip("no_dataset"))
    if total is None:
        return Split(name, unseen=Skip("streaming"))
    if total == 0:
        return Split(name, total=0, unseen=Skip("empty"))
    if getattr(collate, "mlm", False):
        return Split(name, total=total, unseen=Skip("masked_language_modeling"))
    samples = []
    try:
        with untouched_rng():
            for index in places(total, total if full else ROWS):
                row = dataset[index]
                samples.append(_sample(collate([_used(row, columns)]), row, name))
    except Unreadable as error:
        return Split(name, total=total, unseen=error.skip)
    except Exception as error:
        # The message may hold text of the row; the error's name does not.
        return Split(name, total=total, unseen=Skip("collator", {"error": type(error).__name__}))
    return Split(name, tuple(samples), total)


def places(total: int, wanted: int) -> list[int]:
    """Return ``wanted`` evenly spaced indices below ``total``, or all of them.

    Examples:
        >>> places(10, 4)
        [0, 2, 5, 7]
        >>> places(3, 4)
        [0, 1, 2]
    """
    count = min(total, wanted)
    return [index * total // count for index in range(count)]


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


def own_copy(collate: Any) -> Any:
    """Return a copy of a collator, so that what it counts or caches stays as it was."""
    try:
        return copy.copy(collate)
    except Exception:
        return collate


def _used(row: Any, columns: Collection[str] | None) -> Any:
    if columns is None or not isinstance(row, Mapping):
        return row
    return {name: value for name, value in row.items() if name in columns}


def _sample(batch: Any, row: Any, split: str) -> Sample:
    if not isinstance(batch, Mapping) or "input_ids" not in batch:
        raise Unreadable("no_input_ids")
    if "pixel_values" in batch:
        raise Unreadable("vision")
    if "decoder_input_ids" in batch:
        raise Unreadable("encoder_decoder")
    if "labels" not in batch:
        raise Unreadable("no_labels")
    ids, labels = _first_row(batch["input_ids"]), _first_row(batch["labels"])
    if len(labels) != len(ids):
        raise Unreadable("encoder_decoder")
    mask = batch.get("attention_mask")
    if mask is not None:
        kept = [index for index, real in enumerate(_first_row(mask)) if real]
        ids, labels = [ids[i] for i in kept], [labels[i] for i in kept]
    return Sample(tuple(ids), tuple(labels), row if isinstance(row, Mapping) else None, split)


def _first_row(tensor: Any) -> list[int]:
    """Return the first row of a tensor or nested list as integers.

    Raises:
        Unreadable: it is no row of integers.
    """
    values = tensor.tolist() if hasattr(tensor, "tolist") else tensor
    first = values[0] if len(values) else values
    if not isinstance(first, list) or not all(isinstance(value, int) for value in first):
        raise Unreadable("no_token_rows")
    return first
