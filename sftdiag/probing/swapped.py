"""Whose answers these are, asked of the model: each after its own prompt and another row's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sftdiag.probing.ask import Asker
from sftdiag.probing.deadline import Deadline
from sftdiag.probing.prompts import PROMPT_TOKENS, Tokens
from sftdiag.samples import IGNORE_INDEX, Sample, Split

ROWS = 96
"""Rows of a set. Of 32 the mean of rows that the model hardly reads (Chinese descriptions of
commands, SmolLM2-135M) is 3.3 to 5.1 standard errors above 0, of three times as many 6 to 9."""

ANSWER_TOKENS = 64
"""Of a longer answer only the beginning is asked: each token depends less on the prompt, and more
on the answer before it."""


class Swap(NamedTuple):
    """An answer, its own prompt, and another row's. Token ids."""

    answer: Tokens
    own: Tokens
    other: Tokens


def swaps(samples: Sequence[Sample]) -> list[Swap]:
    """Return up to :data:`ROWS` answers, each with two prompts.

    The other prompt is that of the row half of the chosen rows further on, so never a neighbour's.
    What says nothing is left out: rows with the same prompt as the other row, or the same answer.
    """
    parts = [part for sample in samples if (part := _last_reply(sample)) is not None]
    chosen = parts[:: max(1, len(parts) // ROWS)][:ROWS]
    half = len(chosen) // 2
    found = []
    for index, (prompt, answer) in enumerate(chosen):
        other, said = chosen[(index + half) % len(chosen)]
        if prompt != other and answer != said:
            found.append(Swap(answer, prompt, other))
    return found


def gains(
    asker: Asker, splits: Sequence[Split], deadline: Deadline
) -> dict[str, tuple[float, ...]]:
    """Return by how many nats each answer is likelier after its own prompt, by set.

    The sets are asked in turn, so that where the time is over each has about as many.

    Args:
        asker: asks the model, as it was before training.
        splits: the sets.
        deadline: what may not end by then is not begun.
    """
    asked = {split.name: swaps(split.samples) for split in splits}
    found: dict[str, list[float]] = {name: [] for name in asked}
    for place in range(ROWS):
        for name, chosen in asked.items():
            if place >= len(chosen):
                continue
            swap = chosen[place]
            losses = asker.answer_losses(swap.answer, (swap.own, swap.other), deadline)
            if losses is None:
                return _whole(found)
            own, other = losses
            found[name].append(other - own)
    return _whole(found)


def _whole(found: dict[str, list[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(each) for name, each in found.items() if each}


def _last_reply(sample: Sample) -> tuple[Tokens, Tokens] | None:
    """Return the last reply of a row, and what stands before it; None without either."""
    labels, ids = sample.labels, sample.input_ids
    if sample.answers:
        start, end = sample.answers[-1]
    else:
        end = next((i + 1 for i in reversed(range(len(ids))) if labels[i] != IGNORE_INDEX), 0)
        start = next((i + 1 for i in reversed(range(end)) if labels[i] == IGNORE_INDEX), 0)
    if start == 0 or end <= start:
        return None
    return ids[:start][-PROMPT_TOKENS:], ids[start:end][:ANSWER_TOKENS]
