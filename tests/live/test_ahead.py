"""What a guard asks of a step is there before it is asked, and the run is what it would be."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sftdiag
from sftdiag.live import step_signals
from sftdiag.live.ahead import Ahead
from sftdiag.live.ring import Ring
from sftdiag.sources import every_step

poison = pytest.importorskip("benchmarks.guard.poison", reason="needs the extra trainer")

import torch  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

ADAM = {"optim": "adamw_torch_fused", "weight_decay": 0.1}
OTHER = {"optim": "adamw_torch"}


def train(trainer: Any, **options: Any) -> sftdiag.DiagnosticsCallback:
    callback = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"], **options)
    trainer.train()
    trainer.save_state()
    return callback


def weights(trainer: Any) -> list[Any]:
    return [p.detach().clone() for p in trainer.model.parameters()]


def same(some: list[Any], others: list[Any]) -> bool:
    """Whether weights are the same to the last bit, the broken embedding's, too."""
    return all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(some, others, strict=True)
    )


def told(report: sftdiag.Report) -> str:
    return repr([finding.to_dict() for finding in report.findings])


@pytest.fixture
def by_itself(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A processor that is taken for a device which computes by itself; whether each step came."""
    came: list[bool] = []
    numbers = Ahead.numbers

    def noted(self: Ahead, norm: Any) -> list[float] | None:
        values = numbers(self, norm)
        came.append(values is not None)
        return values

    monkeypatch.setattr(Ahead, "numbers", noted)
    monkeypatch.setattr(step_signals, "ring_of", lambda device, least: Ring(4096, device))
    return came


def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ahead, "of", lambda trainer, room: None)


@pytest.mark.parametrize("optimizer", [ADAM, OTHER], ids=["fused", "other"])
@pytest.mark.parametrize("kind", poison.KINDS)
def test_a_step_is_decided_as_by_one_that_waits(
    kind: str,
    optimizer: dict[str, Any],
    by_itself: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = []
    for name in ("ahead", "waits"):
        given = {"steps": (35, 38), "max_steps": 41, "gradient_accumulation_steps": 1, **optimizer}
        trainer = poison.make(kind, tmp_path / name, **given)
        callback = train(trainer, guard=True)
        kept = every_step.read(str(tmp_path / name))
        # How long each took is its own.
        steps = [repr(step._replace(seconds=None)) for step in kept]
        assert told(sftdiag.analyze(tmp_path / name)) == told(callback.report)
        runs.append((weights(trainer), told(callback.report), steps))
        assert [step.step for step in kept if step.skipped] == [35, 38]
        waits(monkeypatch)
    (some, said, steps), (others, said_there, steps_there) = runs
    assert by_itself == [False, *[True] * 40]
    assert same(some, others)
    assert (said, steps) == (said_there, steps_there)


@pytest.mark.parametrize("most", [0.05, 1.0, 0.0])
def test_until_it_acts_the_run_is_the_run_without_it(
    most: float, by_itself: list[bool], tmp_path: Path
) -> None:
    runs = []
    for name, guard in (("without", None), ("with", True)):
        given = {"max_steps": 20, "gradient_accumulation_steps": 2, "max_grad_norm": most, **ADAM}
        trainer = poison.make(None, tmp_path / name, **given)
        train(trainer, guard=guard)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        runs.append((rows, weights(trainer)))
        assert "clip_grad_norm_" not in vars(trainer.accelerator)
    (bare, some), (guarded, others) = runs
    assert by_itself == [False, *[True] * 19]
    assert bare == guarded
    assert same(some, others)


def test_past_its_budget_the_run_is_stopped(by_itself: list[bool], tmp_path: Path) -> None:
    trainer = poison.make(poison.NAN, tmp_path, steps=range(20, 40), max_steps=40, **ADAM)
    callback = train(trainer, guard=True)
    assert trainer.state.global_step == 22
    (found,) = callback.report.findings
    assert (found.code, found.severity.label) == ("SFT113", "warning")
    assert all(p[3:].isfinite().all() for p in trainer.model.parameters())


class Grads(TrainerCallback):
    """Follows the gradients of each step by weak references."""

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.left = 0

    def on_pre_optimizer_step(self, *args: Any, model: Any = None, **kwargs: Any) -> None:
        grads = (p.grad for p in model.parameters())
        self.held = [weakref.ref(grad) for grad in grads if grad is not None]

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.left += sum(held() is not None for held in self.held)


def test_no_gradient_outlives_its_step(by_itself: list[bool], tmp_path: Path) -> None:
    grads = Grads()
    trainer = poison.make(None, tmp_path, max_steps=6, **ADAM)
    trainer.add_callback(grads)
    train(trainer, guard=True)
    assert by_itself == [False, *[True] * 5]
    assert grads.held
    assert not grads.left


def halved(trainer: Any, changes: str) -> None:
    """Have the trainer change its gradients before it clips them, as some do."""
    clip = trainer._clip_grad_norm

    def own(model: Any) -> Any:
        for p in model.parameters():
            if p.grad is not None and changes == "in place":
                p.grad.mul_(0.5)
            elif p.grad is not None:
                p.grad = p.grad * 0.5
        return clip(model)

    trainer._clip_grad_norm = own


@pytest.mark.parametrize("changes", ["in place", "anew"])
def test_gradients_that_are_changed_in_between_have_a_norm_of_their_own(
    changes: str, by_itself: list[bool], tmp_path: Path
) -> None:
    runs = []
    for name, guard in (("without", None), ("with", True)):
        trainer = poison.make(None, tmp_path / name, max_steps=6, max_grad_norm=1.0, **ADAM)
        halved(trainer, changes)
        train(trainer, guard=guard)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        runs.append((rows, weights(trainer)))
    (bare, some), (guarded, others) = runs
    assert by_itself == [False] * 6
    assert bare == guarded
    assert same(some, others)


def test_who_clips_in_another_way_does_so(by_itself: list[bool], tmp_path: Path) -> None:
    trainer = poison.make(None, tmp_path, max_steps=4, max_grad_norm=1.0, **ADAM)
    clip, called = trainer.accelerator.clip_grad_norm_, []

    def own(*args: Any, **kwargs: Any) -> Any:
        called.append(args)
        return clip(*args, **kwargs)

    trainer.accelerator.clip_grad_norm_ = own
    train(trainer, guard=True)
    assert len(called) == 4
    assert by_itself == []
    assert trainer.accelerator.clip_grad_norm_ is own


NUMBERS = st.floats(width=32)


@given(
    rows=st.lists(st.lists(NUMBERS, min_size=1, max_size=3), min_size=1, max_size=4),
    lacking=st.booleans(),
    most=st.floats(0, 10) | st.just(float("inf")),
    iterated=st.booleans(),
)
def test_it_clips_as_torch_does(
    rows: list[list[float]], lacking: bool, most: float, iterated: bool
) -> None:
    def made() -> list[Any]:
        parameters = [torch.nn.Parameter(torch.ones(len(row))) for row in rows]
        for p, row in zip(parameters, rows, strict=True):
            p.grad = torch.tensor(row)
        return [*parameters, torch.nn.Parameter(torch.ones(2))] if lacking else parameters

    called = []

    def original(parameters: Any, most: float) -> Any:
        called.append(most)
        return torch.nn.utils.clip_grad_norm_(parameters, most)

    ours, theirs = made(), made()
    ahead = Ahead(torch.device("cpu"), 2)
    clip = ahead.clipping(original)
    # By the first call it knows the parameters; a norm above any clips nothing.
    clip(iter(ours) if iterated else ours, 1e30)
    losses = torch.tensor([1.0, 2.0])
    for p, row in zip(ours, rows, strict=False):
        p.grad = torch.tensor(row)
    ahead.launch(losses)
    norm = clip(iter(ours) if iterated else ours, most)
    assert called == [1e30]
    expected = torch.nn.utils.clip_grad_norm_(theirs, most)
    assert torch.equal(norm, expected) or norm.isnan() == expected.isnan()
    for mine, other in zip(ours, theirs, strict=True):
        if other.grad is None:
            assert mine.grad is None
        else:
            assert torch.equal(mine.grad.nan_to_num(), other.grad.nan_to_num())
    values = ahead.numbers(norm)
    assert values is not None
    assert repr(values) == repr([1.0, 2.0, float(norm)])
    assert ahead.numbers(norm) is None


def test_a_call_that_is_none_of_the_trainers_is_made_as_it_is() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([3.0, 0.0, 4.0])
    clip = Ahead(torch.device("cpu"), 1).clipping(torch.nn.utils.clip_grad_norm_)
    assert float(clip(weight, 1e30)) == 5.0
    assert float(clip([weight], 1e30, norm_type=1)) == 7.0
    assert float(clip(max_norm=1.0, parameters=iter([weight]))) == 5.0
    assert weight.grad.tolist() == pytest.approx([0.6, 0.0, 0.8])


def test_a_device_whose_copies_nobody_can_wait_for_is_waited_for(tmp_path: Path) -> None:
    trainer = poison.make(None, tmp_path)
    assert Ahead.of(trainer, 1) is not None
    trainer.args.__dict__["_setup_devices"] = torch.device("meta")
    assert trainer.args.device.type == "meta"
    assert Ahead.of(trainer, 1) is None


def test_what_comes_is_not_rounded_where_tensors_are_of_few_digits_by_default() -> None:
    loss, before = torch.tensor(1.2345678), torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        ring = Ring(8, torch.device("cpu"))
        ring.keep(loss)
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = torch.ones(2)
        ahead = Ahead(torch.device("cpu"), 1)
        clip = ahead.clipping(torch.nn.utils.clip_grad_norm_)
        clip([weight], 1e30)
        ahead.launch(ring.kept(0, 1))
        values = ahead.numbers(clip([weight], 1e30))
    finally:
        torch.set_default_dtype(before)
    assert values is not None
    assert values[0] == ring.numbers(0, 1)[0] == float(loss)
