"""SFT418 where rows were padded when they were tokenized and their mask was lost."""

from __future__ import annotations

import pytest

from sftdiag.checks.base import Inputs
from sftdiag.checks.padding_trained import PaddingTrainedCheck
from sftdiag.samples import Sample, Split, Tokenization

END, PAD = 2, 3


def seen(rows: list[tuple[int, ...]], pad: int, *, trained: bool = True) -> list[tuple[str, int]]:
    """What the check says of rows whose tokens are all trained, or all but the padding."""
    samples = tuple(
        Sample(row, row if trained else tuple(-100 if token == pad else token for token in row))
        for row in rows
    )
    known = Tokenization(eos_token_ids=(END,), pad_token_id=pad)
    found = PaddingTrainedCheck().look(
        Inputs(train=Split("train", samples, len(samples)), tokenization=known)
    )
    return [(one.variant, one.evidence["labels"]) for one in found]  # type: ignore[union-attr]


def padded(pad: int, width: int = 12) -> list[tuple[int, ...]]:
    """Rows of unlike length, padded to one."""
    rows = [(*range(10, 14 + at % 5), END) for at in range(20)]
    return [row + (pad,) * (width - len(row)) for row in rows]


@pytest.mark.parametrize("pad", [PAD, END])
def test_rows_padded_by_hand(pad: int) -> None:
    # Where the padding is the text's own end, the first of the tail is that.
    labels = sum(12 - len([t for t in row if t >= 10]) - 1 for row in padded(PAD))
    assert seen(padded(pad), pad) == [("written", labels)]


@pytest.mark.parametrize("pad", [PAD, END])
def test_padding_that_is_masked_is_none(pad: int) -> None:
    assert seen(padded(pad), pad, trained=False) == []


def test_one_end_or_two_are_the_text_s_own() -> None:
    assert seen([(*range(10, 14 + at % 5), END, END) for at in range(20)], END) == []


def test_few_rows_that_end_so_are_no_padding() -> None:
    rows = [(*range(10, 20), END)] * 15 + [(10, 11, END, END, END, END)] * 5
    assert seen(rows, END) == []
