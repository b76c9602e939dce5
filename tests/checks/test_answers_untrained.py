"""SFT422: the change names where the mask is made, as far as rows and settings show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sftdiag.checks import Inputs
from sftdiag.checks.answers_untrained import AnswersUntrainedCheck
from sftdiag.context import RunContext
from sftdiag.guide import preflight
from sftdiag.observations import Skip
from sftdiag.samples import Sample, Split

IDS, LABELS = (5, 6, 8, 9, 4, 4, 2), (5, 6, 8, 9, -100, -100, -100)


@pytest.mark.parametrize(
    ("row", "context", "told"),
    [
        ({"input_ids": IDS, "labels": LABELS}, RunContext(), "in the labels column of the rows"),
        ({"input_ids": IDS}, RunContext(), "that your data_collator makes"),
        ({"messages": []}, RunContext(assistant_only_loss=True), "of the chat template"),
        # A mask of the trainer's, or of nobody knows whom.
        ({"input_ids": IDS, "completion_mask": [1]}, RunContext(), "swap the label mask: "),
        ({"prompt": "a", "completion": "b"}, RunContext(), "swap the label mask: "),
        (None, RunContext(), "swap the label mask: "),
        # The rows' own labels are others: something else made the mask.
        ({"input_ids": IDS, "labels": IDS}, RunContext(), "swap the label mask: "),
    ],
)
def test_the_place_of_the_mask(
    row: Mapping[str, Any] | None, context: RunContext, told: str
) -> None:
    sample = Sample(IDS, LABELS, row=row, answers=((4, 6),))
    found = AnswersUntrainedCheck().look(Inputs(context, Split("train", (sample,), 1)))
    assert not isinstance(found, Skip)
    (first, *_) = preflight.fixes(found[0], "en")
    assert told in first.text
    assert preflight.fixes(found[0], "zh")
