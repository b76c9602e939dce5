"""A step that is made: the norm of gradients that are sharded over ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="needs the extra trainer")

from sftdiag.live.made_step import (  # noqa: E402
    Taken,
    by_step,
    joined,
    last_of_each,
    measured,
    norms_of,
    part_of_norm,
    whole_norm,
)
from sftdiag.sources.every_step import unpacked  # noqa: E402

SHARE = [3.0, 4.0]
"""Each rank's gradients: a norm of 5."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    """Two groups of two ranks each, as seen from the first; nothing is sent."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield init_device_mesh("cpu", (2, 2))
    torch.distributed.destroy_process_group()


def norm(mesh: Any, kinds: str) -> tuple[Any, int] | None:
    from torch.distributed.tensor import DTensor, Replicate, Shard

    places = [Shard(0) if kind == "S" else Replicate() for kind in kinds]
    gradients = DTensor.from_local(torch.tensor(SHARE), mesh, places, run_check=False)
    return part_of_norm(torch.linalg.vector_norm(gradients))


@pytest.mark.parametrize(("kinds", "shares"), [("SS", 4), ("RS", 2), ("SR", 2), ("RR", 1)])
def test_the_parts_of_a_norm_add_up_to_it(mesh: Any, kinds: str, shares: int) -> None:
    """Ranks with equal parts: what each keeps is the mean of what all keep."""
    kept = norm(mesh, kinds)
    assert kept is not None
    part, parts = kept
    assert parts == shares
    assert whole_norm(float(part), parts) == pytest.approx(math.hypot(*SHARE) * math.sqrt(shares))
    assert math.isnan(whole_norm(math.nan, parts))


def test_a_maximum_is_no_sum(mesh: Any) -> None:
    from torch.distributed.tensor import DTensor, Shard

    gradients = DTensor.from_local(torch.tensor(SHARE), mesh, [Shard(0)] * 2, run_check=False)
    assert part_of_norm(torch.linalg.vector_norm(gradients, math.inf)) is None


class Measuring:
    """A trainer that keeps a number a micro-batch, as TRL's do."""

    def __init__(self, *entropies: float) -> None:
        self._metrics: Any = {"train": {"entropy": list(entropies)}, "eval": {"entropy": [9.0]}}


def test_what_a_trainer_measures_is_shared_out_from_the_last_step_on() -> None:
    """Of steps from before it forgot its numbers nothing is known."""
    trainer = Measuring(1.0, 3.0, 4.0, 6.0)
    unknown = [None, None]
    assert measured(trainer, [2, 2]) == [[2.0, 5.0], unknown]
    assert measured(trainer, [1, 1, 2]) == [[1.0, 3.0, 5.0], [*unknown, None]]
    assert measured(trainer, [3, 2, 2]) == [[None, 2.0, 5.0], [*unknown, None]]
    assert measured(trainer, [2, 0]) == [[5.0, None], unknown]
    assert measured(object(), [2]) == ()


def test_a_step_has_the_last_norm_of_one_number() -> None:
    one, several = torch.tensor([5.0]), torch.tensor([5.0, 6.0])
    kept = last_of_each([1.0, 2.0, several, 3.0, several], [2, 3, 3, 5])
    assert kept == ([2.0, 3.0], [True, False, False, True])
    assert norms_of([2.0, 3.0, 0.0], kept[1], 1) == [2.0, None, None, 3.0]
    assert norms_of([4.0, 9.0, 0.0], kept[1], 4) == [4.0, None, None, 6.0]
    for norms in ([one, one], [one, 7.0]):
        assert last_of_each(norms, [1, 2]) == (norms, [True, True])
    assert last_of_each([one, several], [1, 2]) == ([one], [True, False])
    assert last_of_each([one, one], [0, 2]) == ([one], [False, True])
    assert norms_of([2.0, 3.0, 0.0], [True, True], 1) == [2.0, 3.0]


def test_batches_are_shared_out_over_steps() -> None:
    batches = [(8, 1e-3), (4, 2e-3), (0, 1)]
    assert by_step([1.0, 2.0, 4.0], batches, [2, 3]) == ([3.0, 4.0], [2e-3, 1.0], [12, None])
    assert by_step([1.0, 2.0], batches[:2], [1, 2]) == ([1.0, 2.0], (1e-3, 2e-3), (8, 4))
    rates = [(8, torch.tensor(1e-3)), (8, 1e-3)]
    assert by_step([1.0, 2.0], rates, [1, 2]) == ([1.0, 2.0], [None, 1e-3], [8, 8])
    assert by_step([1.0], batches[:1], [0, 1]) == ([0, 1.0], [None, 1e-3], [None, 8])


def test_steps_brought_over_in_parts_are_one() -> None:
    one = Taken([1, 2], [0.5, 0.25], None, [1e-3, None])
    other = Taken([3], [0.125], [2.0])
    whole = joined([one, other])
    assert whole.rows == one.rows + other.rows
    assert [step.step for step in unpacked(whole.rows)] == [1, 2, 3]
    assert (joined([one]), bool(joined([])), Taken().rows) == (one, False, b"")
