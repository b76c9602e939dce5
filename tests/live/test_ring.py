"""What is kept of a step is read as it was, on an accelerator (here as a tensor) and on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.live import step_signals
from sftdiag.live.later import Aside
from sftdiag.live.tape import Tape
from sftdiag.sources import every_step

torch = pytest.importorskip("torch", reason="needs the extra trainer")
ring = pytest.importorskip("sftdiag.live.ring")
KINDS = [ring.Ring, ring.HostRing]


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_come_back_in_order(kind: type) -> None:
    kept = kind(8, torch.device("cpu"))
    for value in (1.5, 2.25, 3.0):
        kept.keep(torch.tensor(value))
    kept.keep(torch.tensor(float("nan"), dtype=torch.bfloat16))
    *others, last = kept.numbers(0, 4)
    assert others == [1.5, 2.25, 3.0]
    assert last != last
    # What is behind those that go is still there.
    kept.clear(2)
    kept.keep(torch.tensor(7.0))
    assert kept.numbers(0, 1) == [3.0]
    assert kept.numbers(2, 3) == [7.0]
    kept.clear(3)
    kept.keep(torch.tensor(8.0))
    assert kept.numbers(0, 1) == [8.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "others",
    [
        [torch.tensor(2.0), torch.tensor([3.0])],
        [torch.tensor(2.0, dtype=torch.bfloat16), torch.tensor(3.0, dtype=torch.float64)],
        [2, torch.tensor(3.0)],
    ],
)
def test_norms_of_any_kind_come_after_them(kind: type, others: list[Any]) -> None:
    kept = kind(8, torch.device("cpu"))
    for value in (1.0, 4.0):
        kept.keep(torch.tensor(value))
    assert kept.numbers(0, 1, others) == [1.0, 2.0, 3.0]
    assert kept.tensor(1, others)[:3].tolist() == [1.0, 2.0, 3.0]
    assert kept.tensor(1, others).shape == (8,)
    assert kept.numbers(0, 2) == [1.0, 4.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_with_a_dimension_is_told(kind: type) -> None:
    kept = kind(4, torch.device("cpu"))
    kept.keep(torch.tensor(1.0))
    assert kept.holds_scalars()
    kept.keep(torch.tensor([1.0, 2.0]))
    assert not kept.holds_scalars()


def test_on_an_accelerator_a_loss_is_kept_by_value() -> None:
    """A compiled model's graph writes its next loss to the same place."""
    kept, loss = ring.Ring(4, torch.device("cpu")), torch.tensor(1.0)
    kept.keep(loss)
    loss.fill_(2.0)
    kept.keep(loss)
    assert kept.numbers(0, 2) == [1.0, 2.0]


def test_there_is_room_for_a_step_of_any_length() -> None:
    assert ring.ring_of(torch.device("cpu"), 5000).room == 5000
    assert isinstance(ring.ring_of(torch.device("meta"), 2), ring.Ring)


@pytest.mark.slow
def test_steps_are_the_same_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finetune = pytest.importorskip("finetune", reason="needs the extra trainer")
    seen = []
    for kind in KINDS:
        monkeypatch.setattr(
            step_signals, "ring_of", lambda device, least, kind=kind: kind(7 * least, device)
        )
        arguments = {"max_steps": 25, "gradient_accumulation_steps": 3, "dropout": 0.1}
        folder = tmp_path / kind.__name__
        trainer = finetune.make_trainer("none", folder, logging_steps=10, **arguments)
        sftdiag.attach(trainer)
        trainer.train()
        seen.append([step._replace(seconds=None) for step in every_step.read(str(folder))])
    assert len(seen[0]) == 25
    assert seen[0] == seen[1]


def test_what_nobody_waits_for_is_done_once_the_device_is_busy() -> None:
    done: list[str] = []
    aside = Aside(lambda action: action())
    tape = Tape(lambda: done.append("broke"))

    def launch(model: Any, inputs: Any) -> Any:
        done.append("launched")
        return torch.tensor(1.0)

    kept: list[Any] = []
    step = tape.training_step(launch, kept.append, lambda: 1e-4, None, aside)
    step(None, {})
    aside.actions += [lambda: done.append("first"), lambda: done.append("second")]
    step(None, {})
    step(None, {})
    assert done == ["launched", "launched", "first", "second", "launched"]
    assert len(kept) == 3
