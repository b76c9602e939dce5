"""Sentences that count one of something say so in the singular."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sftdiag.texts import counted

COUNTED = "step|record|log row|row|epoch|evaluation|token|training row|evaluation row|sample|prompt"
ONE = re.compile(rf"(?<![\d.,])1 ({COUNTED}|run|trial|rank)s\b")
PARTS = (
    *("1 steps", "1 rows", "1 log rows", "1 epochs", "1 evaluations", "1 tokens", "1 records"),
    *("1 training rows", "1 samples", "1 prompts", "1 runs", "1 trials", "1 ranks"),
    *("2", "0.", "1,", " ", "_", "s", "x", "\u0663", "\u00e9", "1 step", "1 stepss"),
)


@given(st.lists(st.sampled_from(PARTS)).map("".join) | st.text())
def test_as_a_regular_expression_would(text: str) -> None:
    assert counted(text) == ONE.sub(r"1 \1", text)
