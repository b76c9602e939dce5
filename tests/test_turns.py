"""Where replies stand in a sequence: whatever the tokens, and exactly where the marks say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sftdiag.turns import replies

OPEN, OTHER, STOP, BLANK = (8, 9), (7,), 2, 1

tokens = st.lists(st.integers(0, 12), max_size=60).map(tuple)
said = st.lists(st.integers(20, 40), min_size=1, max_size=8).map(tuple)


@given(tokens)
def test_replies_are_parts_in_order_that_hold_no_mark(ids: tuple[int, ...]) -> None:
    found = replies(ids, (OPEN,), (OTHER,), {STOP}, {BLANK})
    assert list(found) == sorted(found)
    before = 0
    for start, end in found:
        assert before <= start <= end <= len(ids)
        assert STOP not in ids[start:end]
        assert OTHER[0] not in ids[start:end]
        before = end


@given(st.lists(st.tuples(said, said), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_what_was_said_is_found(
    turns: list[tuple[tuple[int, ...], tuple[int, ...]]], marked: bool, blank: bool
) -> None:
    """With and without a token that ends turns, and white space after the marks."""
    end, white = ((STOP,) if marked else ()), ((BLANK,) if blank else ())
    ids: tuple[int, ...] = ()
    expected = []
    for asked, answered in turns:
        ids += OTHER + asked + end + OPEN + white
        expected.append((len(ids), len(ids) + len(answered)))
        ids += answered + end + white
    assert list(replies(ids, (OPEN,), (OTHER,), {STOP}, {BLANK})) == expected
    assert list(replies(ids + OPEN, (OPEN,), (OTHER,), {STOP}, {BLANK})) == expected
