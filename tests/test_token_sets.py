"""Sets of tokens compared all at once give what Python's own sets and sums give."""

from __future__ import annotations

from collections import Counter
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy", reason="needs the extra trainer")

from sftdiag.token_sets import Overlaps, gram_hashes, in_many, numbers, runs_of_four, without

tokens = st.lists(st.integers(0, 2**31), max_size=20).map(tuple)
sets = st.frozensets(st.integers(0, 12), max_size=8)
pairs = st.lists(st.tuples(sets, sets), min_size=1, max_size=12)


@given(tokens, st.integers(1, 6))
def test_hashes_of_grams_are_those_of_tuples(row: tuple[int, ...], gram: int) -> None:
    grams = {row[i : i + gram] for i in range(max(1, len(row) - gram + 1))}
    assert gram_hashes(row, gram).tolist() == sorted(map(hash, grams))


@given(st.lists(sets, max_size=8), st.floats(0, 8))
def test_what_many_sets_hold(held: list[frozenset[int]], most: float) -> None:
    counts = Counter(value for values in held for value in values)
    common = sorted(value for value, count in counts.items() if count > most)
    assert in_many([numbers(sorted(values)) for values in held], most).tolist() == common
    for values in held:
        kept = without(numbers(sorted(values)), numbers(common)).tolist()
        assert kept == sorted(values - set(common))


@given(st.text("abcde", max_size=30))
def test_runs_are_the_same_where_the_letters_are(text: str) -> None:
    letters = numbers(sorted(set(map(ord, text))))
    runs = runs_of_four(numbers([*map(ord, text)]), letters).tolist()
    four = [text[i : i + 4] for i in range(len(text) - 3)]
    assert len(runs) == len(four)
    assert sorted(range(len(runs)), key=runs.__getitem__) == sorted(
        range(len(four)), key=four.__getitem__
    )


@given(pairs, st.floats(0.2, 1), st.integers(1, 6))
def test_overlaps_are_sums_of_the_rarest(
    rows: list[tuple[frozenset[int], frozenset[int]]], common: float, most: int
) -> None:
    counts = Counter(value for first, second in rows for value in first | second)
    weights = {v: log(len(rows) / n) for v, n in counts.items() if n <= common * len(rows)}
    overlaps = Overlaps(
        [(numbers(sorted(first)), numbers(sorted(second))) for first, second in rows],
        common * len(rows),
        most,
    )
    for row, (first, second) in enumerate(rows):
        for side, shared in enumerate((overlaps.with_first(row), overlaps.with_second(row))):
            held = frozenset[int]().union(*(pair[side] for pair in rows)) & weights.keys()
            rarest = sorted(first & held, key=lambda v: (-weights[v], v))[:most]
            expected = []
            for pair in rows:
                total = 0.0
                for value in rarest:
                    total += weights[value] if value in pair[side] else 0.0
                expected.append(total)
            assert shared.tolist() == expected
        for other, (_, third) in enumerate(rows):
            both = first & third & weights.keys()
            found, weight = overlaps.both(row, other)
            assert (found, weight) == (len(both), pytest.approx(sum(map(weights.get, both))))
        assert overlaps.second(row)[0] == len(second & weights.keys())
