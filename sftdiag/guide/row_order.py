"""Evidence on the order of the rows, shared by the symptoms that blocks of rows cause."""

from __future__ import annotations

from sftdiag.guide.base import Case, Evidence, Weight

RANDOM, SEQUENTIAL, BY_LENGTH = "random", "sequential", "group_by_length"
"""Values of transformers' train_sampling_strategy."""


def blocks_of_rows(case: Case) -> Evidence | None:
    """Whether rows of one kind can follow each other for many steps."""
    sampler = case.context.sampler
    values = {"sampler": sampler}
    # A stream has no sampler, whatever the argument says.
    if sampler is None or case.context.train_samples is None:
        return Evidence(Weight.MISSING, "order_unseen")
    if sampler == SEQUENTIAL:
        return Evidence(Weight.SUPPORTS, "order_sequential", values)
    return Evidence(Weight.RULES_OUT, "order_random", values)


def swings_with_length(case: Case) -> Evidence | None:
    """The same for a loss that swings: batches grouped by length make it, too."""
    if case.context.sampler == BY_LENGTH:
        return Evidence(Weight.SUPPORTS, "order_by_length", {"sampler": BY_LENGTH})
    return blocks_of_rows(case)
