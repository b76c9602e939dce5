"""Sets of rows as the checks see them: the places that are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.samples import Sample, Split
from sftdiag.trainer.places import paired

Rows = list[tuple[int, ...]]


def split(rows: Sequence[tuple[int, ...]], name: str = "train") -> Split:
    """Return what is looked at of a set of rows, all of whose tokens are trained."""
    places = paired(len(rows))
    samples = tuple(Sample(rows[i], rows[i], split=name) for i in places)
    return Split(name, samples, len(rows), places=tuple(places))
