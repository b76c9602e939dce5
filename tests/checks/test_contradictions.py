"""SFT416: prompts that come again with answers that have nothing to do with each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from sftdiag.checks.base import Inputs
from sftdiag.checks.duplicate_rows import DuplicateRowsCheck
from sftdiag.findings import Severity
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Sample, Split

PROMPTS, COPIES = 60, 3
WORDS = range(1000, 5000)


def row(prompt: int, answer: Sequence[int]) -> Sample:
    ids = (7, prompt, 8, *answer)
    return Sample(ids, ids, answers=((3, len(ids)),))


def look(rows: Sequence[Sample]) -> list[Observation]:
    split = Split("train", tuple(rows), len(rows), places=tuple(range(len(rows))))
    found = DuplicateRowsCheck().look(Inputs(train=split))
    assert not isinstance(found, Skip)
    return list(found)


def answers_of(make: Callable[[random.Random, int], list[int]]) -> list[Sample]:
    draw = random.Random(3)
    rows = [row(p, make(draw, p)) for p in range(PROMPTS) for _ in range(COPIES)]
    draw.shuffle(rows)
    return rows


def strangers(draw: random.Random, prompt: int) -> list[int]:
    return draw.sample(WORDS, 9)


def on_the_subject(draw: random.Random, prompt: int) -> list[int]:
    """Of nine words three are the subject's."""
    return [*(1000 + 60 * prompt + i for i in draw.sample(range(12), 3)), *draw.sample(WORDS, 6)]


def test_answers_that_share_nothing() -> None:
    (found,) = look(answers_of(strangers))
    assert (found.variant, found.cause, found.severity) == (
        *("contradicting", "poor-data"),
        Severity.WARNING,
    )
    assert found.evidence["rows"] == PROMPTS * (COPIES - 1)
    assert found.evidence["prompts"] == PROMPTS


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(answers_of(on_the_subject), id="several good answers"),
        pytest.param([row(1, strangers(random.Random(i), 1)) for i in range(90)], id="one prompt"),
        pytest.param([row(i, strangers(random.Random(i), 1)) for i in range(90)], id="each once"),
        pytest.param([row(i % 45, [20 + i % 2]) for i in range(90)], id="labels"),
    ],
)
def test_sound_rows(rows: list[Sample]) -> None:
    assert look(rows) == []


def test_a_few_prompts_are_a_note() -> None:
    once = [row(6000 + i, strangers(random.Random(i), i)) for i in range(400)]
    (found,) = look(answers_of(strangers) + once)
    assert found.severity is Severity.INFO
