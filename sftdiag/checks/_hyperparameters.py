"""What the checks of arguments (SFT5xx) share: a range's sources as evidence, and its reach."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.checks.base import Inputs
from sftdiag.context import RunContext
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import Skip
from sftdiag.ranges import Range, speak_of


def sources(ranges: Sequence[Range]) -> dict[str, Scalar]:
    """Return the guide's range and the newer one as ``guide_low``, ``newer_source`` and so on."""
    evidence: dict[str, Scalar] = {}
    for name, known in zip(("guide", "newer"), ranges, strict=False):
        evidence |= {f"{name}_{field}": getattr(known, field) for field in known.fields}
    return evidence


def is_smaller_than_ranges(context: RunContext) -> bool:
    """Return whether the model is known to be smaller than any that the ranges speak of."""
    return not speak_of(context.total_parameters)


def at_most(severity: Severity, context: RunContext) -> Severity:
    """Return the severity, but a note where the model's size is unknown: it may be a small one."""
    return Severity.INFO if context.total_parameters is None else severity


def samples_a_row(inputs: Inputs) -> float | None:
    """Return how many samples a row of the training set holds: 1, or more where it is packed.

    None where rows are packed and do not say where another sample begins.
    """
    if not inputs.context.packing:
        return 1.0
    starts = [len(sample.starts) for sample in inputs.train.samples]
    held = sum(starts) / len(starts) if starts else 1.0
    return held if held > 1.0 else None


def out_of_reach(context: RunContext) -> Skip | None:
    """Return why the ranges say nothing of this model, or None."""
    if is_smaller_than_ranges(context):
        return Skip("small_model", {"parameters": context.total_parameters})
    return None


def reach(ranges: Sequence[Range]) -> tuple[float, float]:
    """Return the lowest and the highest value of any of the ranges."""
    return min(known.low for known in ranges), max(known.high for known in ranges)


def epochs_planned(context: RunContext) -> float | None:
    """Return the epochs of the run: as asked for, else from its steps; None when unknown."""
    if context.num_train_epochs is not None:
        return context.num_train_epochs
    steps, batch, rows = context.max_steps, context.effective_batch_size, context.train_samples
    return steps * batch / rows if steps and batch and rows else None
