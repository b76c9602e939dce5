"""What the checks of arguments (SFT5xx) share: a range's sources as evidence, and its reach."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.context import RunContext
from sftdiag.findings import Scalar
from sftdiag.ranges import SMALLEST_MODEL, Range


def sources(ranges: Sequence[Range]) -> dict[str, Scalar]:
    """Return the guide's range and the newer one as ``guide_low``, ``newer_source`` and so on."""
    evidence: dict[str, Scalar] = {}
    for name, known in zip(("guide", "newer"), ranges, strict=False):
        evidence |= {f"{name}_{field}": getattr(known, field) for field in known.fields}
    return evidence


def is_smaller_than_ranges(context: RunContext) -> bool:
    """Return whether the model is known to be smaller than any that the ranges speak of."""
    return context.total_parameters is not None and context.total_parameters < SMALLEST_MODEL
