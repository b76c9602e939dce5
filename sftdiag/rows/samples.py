"""Samples from a dataset and a collator, without a dataloader, a batch or a random number.

Rows are read by ``dataset[i]`` at fixed places, evenly spaced pairs of neighbours, and collated one
at a time, so that every rank sees the same and no sampler is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from itertools import compress, count
from operator import not_
from typing import Any

from sftdiag.observations import Skip
from sftdiag.rows.raw_rows import RawRows
from sftdiag.rows.styles import style_of
from sftdiag.samples import IGNORE_INDEX, OWN_STYLE, TOKENS, Sample, Split
from sftdiag.trainer.datasets import length, untouched_rng
from sftdiag.trainer.places import paired


class Unreadable(Exception):
    """A row that does not become a Sample; carries the Skip that says why."""

    def __init__(self, key: str) -> None:
        self.skip = Skip(key)
        super().__init__(key)


class RowReader:
    """Reads rows as the loss would see them.

    Args:
        collate: makes a batch of a list of rows.
        columns: those that the trainer hands to the collator; None means all.
        raw: tells the replies of a row and its full length; None without a tokenizer.
        max_length: tokens after which rows were cut, or None.
        filtered: the preparation filters rows as its last step, as TRL's does.
        full: read every row.
    """

    def __init__(
        self,
        collate: Callable[[list[Any]], Any],
        columns: Collection[str] | None = None,
        raw: RawRows | None = None,
        *,
        max_length: int | None = None,
        filtered: bool = False,
        full: bool = False,
    ) -> None:
        self._collate = _own_copy(collate)
        self._columns = columns
        self._raw = raw
        self._max_length = max_length
        self._filtered = filtered
        self._full = full

    def read(self, name: str, dataset: Any) -> Split:
        """Return rows of a dataset; where none can be read the split says why.

        Args:
            name: of the split.
            dataset: anything with ``__len__`` and ``__getitem__``; others are left untouched.
        """
        total = length(dataset)
        split = Split(name, total=total)
        if self._filtered:
            split = _with_dropped(split, dataset, self._max_length)
        if dataset is None:
            return split.replace(unseen=Skip("no_dataset"))
        if total is None:
            return split.replace(unseen=Skip("streaming"))
        if total == 0:
            return split.replace(unseen=Skip("empty"))
        if getattr(self._collate, "mlm", False):
            return split.replace(unseen=Skip("masked_language_modeling"))
        try:
            with untouched_rng():
                chosen = list(range(total)) if self._full else paired(total)
                rows = [dataset[place] for place in chosen]
                samples, unbatched = self._samples(rows, name)
        except Unreadable as error:
            return split.replace(unseen=error.skip)
        except Exception as error:
            # The message may hold text of the row; the error's name does not.
            return split.replace(unseen=Skip("collator", {"error": type(error).__name__}))
        form = self._raw.format_of(rows[0]) if self._raw is not None else TOKENS
        return split.replace(
            samples=samples, format=form, places=tuple(chosen), unbatched=unbatched
        )

    def _samples(self, rows: list[Any], split: str) -> tuple[tuple[Sample, ...], str | None]:
        """Return rows as samples, and the error with which two of them make no batch, or None."""
        samples = [self._sample(row, split) for row in rows]
        lengths = [len(sample.input_ids) for sample in samples]
        short, long = lengths.index(min(lengths)), lengths.index(max(lengths))
        if lengths[short] < lengths[long] and not samples[short].padding_labels:
            # Only rows of unlike length show what the collator does with its padding.
            try:
                both = self._collate([self._used(rows[short]), self._used(rows[long])])
            except Exception as error:
                return tuple(samples), type(error).__name__
            padding = _from_batch(both).padding_labels
            samples[short] = samples[short].replace(padding_labels=padding)
        if self._max_length is None:
            self._look_for_cuts(samples, lengths[long])
        return tuple(samples), None

    def _look_for_cuts(self, samples: list[Sample], longest: int) -> None:
        """Compare the longest rows, which no argument cuts, with their raw rows."""
        places = [i for i, sample in enumerate(samples) if len(sample.input_ids) == longest]
        for place in places if len(places) > 1 else ():
            whole = self._with_full(samples[place])
            if whole.full_tokens is None or whole.full_tokens <= longest:
                return
            samples[place] = whole

    def _sample(self, row: Any, split: str) -> Sample:
        sample = _from_batch(self._collate([self._used(row)]))
        raw = row if isinstance(row, Mapping) else None
        sample = sample.replace(row=raw, split=split)
        if self._raw is None:
            return sample
        sample = described(sample, self._raw)
        cut = self._max_length is not None and len(sample.input_ids) >= self._max_length
        return self._with_full(sample) if cut else sample

    def _with_full(self, sample: Sample) -> Sample:
        """Return the sample with its length before it was cut, where its raw row tells."""
        full = self._raw.full(sample.row) if self._raw is not None else None
        if self._raw is None or full is None:
            return sample
        answers = self._raw.answers(sample.row, full, self._raw.known.answers(full))[0] or ()
        return sample.replace(
            full_tokens=len(full),
            full_answer_tokens=sum(end - start for start, end in answers) or None,
        )

    def _used(self, row: Any) -> Any:
        if self._columns is None or not isinstance(row, Mapping):
            return row
        return {name: value for name, value in row.items() if name in self._columns}


def described(sample: Sample, raw: RawRows) -> Sample:
    """Return the sample with its replies, its style and what its template leaves out."""
    own = raw.known.turns.style
    style: str | None = OWN_STYLE
    turns = raw.known.answers(sample.input_ids)
    if not turns:
        style = style_of(raw.text(sample.row) or raw.tokenizer.decode(sample.input_ids))
        style = OWN_STYLE if own is not None and style == own else style
    answers, lost = raw.answers(sample.row, sample.input_ids, turns)
    return sample.replace(
        answers=answers,
        style=style,
        left_out=raw.left_out(sample.row),
        prompt_lost=lost,
        roles=raw.roles(sample.row),
    )


def _own_copy(collate: Any) -> Any:
    """Return a copy of a collator, so that what it counts or caches stays as it was."""
    try:
        return copy.copy(collate)
    except Exception:
        return collate


def _dropped(dataset: Any) -> int | None:
    """Return how many rows of its table a filtered dataset leaves out; None when unknown.

    TRL filters as the last step of its preparation, on a table that it wrote just before.
    """
    table = getattr(getattr(dataset, "data", None), "num_rows", None)
    rows = length(dataset)
    return table - rows if isinstance(table, int) and rows is not None else None


def _with_dropped(split: Split, dataset: Any, max_length: int | None) -> Split:
    """Return the split with what was dropped of it, and whether a cut can be why."""
    split = split.replace(dropped=_dropped(dataset))
    if not split.dropped or max_length is None:
        return split
    try:
        import pyarrow.compute as arrow

        lengths = arrow.list_value_length(dataset.data.column("input_ids"))
        kept = dataset._indices.column(0)
        short = arrow.sum(arrow.less(lengths, max_length)).as_py() or 0
        short_kept = arrow.sum(arrow.less(arrow.take(lengths, kept), max_length)).as_py() or 0
        return split.replace(dropped_uncut=short - short_kept, longest=arrow.max(lengths).as_py())
    except Exception:
        # Another layout of the table: the rows are counted, and the reason stays open.
        return split


def _from_batch(batch: Any) -> Sample:
    """Return the first row of a batch, without its padding.

    Raises:
        Unreadable: it is no batch of token rows with labels.
    """
    if not isinstance(batch, Mapping) or "input_ids" not in batch:
        raise Unreadable("no_input_ids")
    if "pixel_values" in batch:
        raise Unreadable("vision")
    if "labels" not in batch:
        raise Unreadable("no_labels")
    ids, labels = _first_row(batch["input_ids"]), _first_row(batch["labels"])
    if "decoder_input_ids" in batch or len(labels) != len(ids):
        raise Unreadable("encoder_decoder")
    starts = _starts(batch)
    mask = batch.get("attention_mask")
    if mask is None:
        return Sample(tuple(ids), tuple(labels), starts=starts)
    real = bytes(map(bool, _first_row(mask)))
    if len(real) != len(ids):
        raise Unreadable("no_token_rows")
    if 0 not in real:
        return Sample(tuple(ids), tuple(labels))
    padded = compress(labels, map(not_, real))
    padding = sum(label != IGNORE_INDEX for label in padded)
    return Sample(tuple(compress(ids, real)), tuple(compress(labels, real)), padding_labels=padding)


def _starts(batch: Mapping[str, Any]) -> tuple[int, ...]:
    """Return where the batch says that a document begins."""
    if batch.get("attention_mask") is not None or "position_ids" not in batch:
        return (0,)
    positions = _first_row(batch["position_ids"])
    return tuple(compress(count(), map(not_, positions))) or (0,)


def _first_row(tensor: Any) -> list[int]:
    """Return the first row of a tensor or nested list as integers.

    Raises:
        Unreadable: it is no row of integers.
    """
    first = tensor[0] if len(tensor) else tensor
    first = first.tolist() if hasattr(first, "tolist") else first
    if not isinstance(first, list) or not set(map(type, first)) <= {int, bool}:
        raise Unreadable("no_token_rows")
    return first
