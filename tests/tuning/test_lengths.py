"""The distribution of lengths against numpy, and what it recommends."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sftdiag.tuning.length_table import write_to
from sftdiag.tuning.lengths import Lengths, count

some_lengths = st.lists(st.integers(1, 9000), min_size=1, max_size=300)


@given(some_lengths, st.floats(0.01, 1.0))
def test_quantiles_are_numpys(lengths: list[int], share: float) -> None:
    numpy = pytest.importorskip("numpy")
    wanted = numpy.quantile(lengths, share, method="inverted_cdf")
    assert count([lengths]).quantile(share) == wanted


@given(some_lengths)
def test_coverage_counts_what_is_cut(lengths: list[int]) -> None:
    found = count([lengths[:50], lengths[50:]])
    assert (found.rows, found.tokens) == (len(lengths), sum(lengths))
    for row in found.coverage:
        cut = [tokens - row.max_length for tokens in lengths if tokens > row.max_length]
        assert row.rows_cut == len(cut)
        assert row.tokens_cut == pytest.approx(sum(cut) / sum(lengths))
        assert row.share == pytest.approx(1 - len(cut) / len(lengths))
    assert found.coverage[-1].share == 1
    share_held = sum(tokens <= found.max_length for tokens in lengths) / len(lengths)
    assert share_held >= 0.95


@given(some_lengths)
def test_the_histogram_holds_every_row_once(lengths: list[int]) -> None:
    bins = count([lengths]).histogram()
    for low, high, rows in bins:
        assert rows == sum(low <= tokens <= high for tokens in lengths)
    assert sum(rows for *_, rows in bins) == len(lengths)


def test_memory_grows_with_the_square() -> None:
    rows = {row.max_length: row for row in Lengths({9000: 1}).coverage}
    memory = {length: rows[length].attention_memory for length in (512, 1024, 2048, 8192)}
    assert memory == {512: 1, 1024: 4, 2048: 16, 8192: 256}
    costs = [rows[length].cost for length in (512, 1024, 2048, 4096, 8192)]
    assert costs == [f"length_{cost}" for cost in ("low", "medium", "medium", "high", "very_high")]


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        count([])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table(lang: str) -> None:
    out = io.StringIO()
    write_to(Console(file=out, width=100), Lengths({100: 90, 700: 8, 5000: 2}), lang)
    shown = out.getvalue()
    assert "max_length=1024" in shown
    assert "98.0%" in shown
    assert "█" in shown
    assert "{" not in shown


def test_json() -> None:
    data = json.loads(json.dumps(Lengths({100: 90, 700: 8, 5000: 2}).to_dict()))
    assert data["quantiles"] == {
        "0.5": 100, "0.75": 100, "0.9": 100, "0.95": 700, "0.99": 5000, "1": 5000,
    }  # fmt: skip
    assert data["max_length"] == 1024
    assert "counts" not in data
