"""The measures by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdiag.probes.measures import (
    Estimate,
    beyond,
    distinct_share,
    jackknife,
    mean_of,
    repeated_share,
)

TOKENS = st.lists(st.integers(0, 5), max_size=40)


@given(TOKENS)
def test_repeats_are_a_share_and_saying_it_twice_adds_to_them(tokens: list[int]) -> None:
    once, twice = repeated_share(tokens), repeated_share(tokens + tokens)
    assert 0.0 <= once <= twice + 1e-12 < 1.0
    assert repeated_share(list(range(len(tokens)))) == 0.0


@given(st.lists(TOKENS, min_size=1, max_size=6))
def test_distinct_is_a_share_and_halves_when_all_is_said_twice(texts: list[list[int]]) -> None:
    share = distinct_share(texts)
    assert 0.0 < share <= 1.0
    if any(len(text) > 1 for text in texts):
        assert distinct_share(texts * 2) == pytest.approx(share / 2)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_the_jackknife_of_a_mean_is_its_standard_error(values: list[float]) -> None:
    known = mean_of(values)
    items = [[index] for index in range(len(values))]
    found = jackknife(items, lambda chosen: sum(values[i[0]] for i in chosen) / len(chosen))
    assert found.value == pytest.approx(known.value)
    assert found.error == pytest.approx(known.error, abs=1e-9)


def test_beyond_needs_the_size_and_the_certainty() -> None:
    low = Estimate(0.1, 0.05)
    assert beyond(Estimate(0.5, 0.05), low, 0.2)
    assert not beyond(Estimate(0.25, 0.0), low, 0.2)
    assert not beyond(Estimate(0.5, 0.2), low, 0.2)


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean_of([])
