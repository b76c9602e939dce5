from __future__ import annotations

from itertools import pairwise

import pytest

from sftdiag.trainer.places import paired, places, spread


@pytest.mark.parametrize("total", [257, 300, 511, 512, 513, 4000, 50_001])
def test_pairs_of_neighbours_over_the_whole_set(total: int) -> None:
    chosen = paired(total)
    assert len(chosen) == len(set(chosen)) == 256
    assert chosen == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < total
    assert all(second - first == 1 for first, second in zip(chosen[::2], chosen[1::2], strict=True))
    assert max(b - a for a, b in pairwise([*chosen, total])) <= total / 128 + 1


@pytest.mark.parametrize("total", [1, 3, 256, 512, 513, 1025, 4000, 50_001])
def test_a_stream_of_rows_gives_pairs_too(total: int) -> None:
    held, counted = spread(iter(range(total)))
    assert counted == total
    assert all(index == row for index, row in held)
    assert min(total, 256) <= len(held) <= 512
    chosen = [index for index, _ in held]
    apart = [b - a for a, b in pairwise(chosen)]
    assert set(apart[::2]) <= {1}
    assert len(set(apart[1::2])) <= 1
    assert total - chosen[-1] <= max(apart, default=1)


def test_all_rows_when_all_are_asked_for() -> None:
    assert [index for index, _ in spread(range(2000), None)[0]] == list(range(2000))


def test_a_resumed_run_still_knows_its_rows() -> None:
    """The places of the fingerprint are those that earlier runs stored."""
    assert places(6400, 64) == list(range(0, 6400, 100))
