"""Where the device itself decides about a step, it is decided as on the host, and nobody waits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sftdiag
from sftdiag.live import step_signals
from sftdiag.live.bad_steps import BadSteps, Guard
from sftdiag.live.gate import ASKED, Gate
from sftdiag.live.ring import Ring
from sftdiag.sources import every_step

poison = pytest.importorskip("benchmarks.guard.poison", reason="needs the extra trainer")

import torch  # noqa: E402

FUSED = {"optim": "adamw_torch_fused", "weight_decay": 0.1}


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
def by_itself(monkeypatch: pytest.MonkeyPatch) -> list[Gate]:
    """A processor that is taken for a device which computes by itself; the gates made for it."""
    gates: list[Gate] = []
    of = Gate.of

    def kept(optimizer: Any, device: Any) -> Gate | None:
        gate = of(optimizer, device)
        if gate is not None:
            gates.append(gate)
        return gate

    monkeypatch.setattr(Gate, "of", kept)
    monkeypatch.setattr(step_signals, "ring_of", lambda device, least: Ring(4096, device))
    return gates


def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "of", lambda optimizer, device: None)


@pytest.mark.parametrize("kind", poison.KINDS)
def test_it_is_decided_as_on_the_host(
    kind: str, by_itself: list[Gate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for name in ("device", "host"):
        given = {"steps": (35, 38), "max_steps": 41, "gradient_accumulation_steps": 1, **FUSED}
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
    assert len(by_itself) == 1
    assert same(some, others)
    assert (said, steps) == (said_there, steps_there)


def test_until_it_acts_the_run_is_the_run_without_it(by_itself: list[Gate], tmp_path: Path) -> None:
    runs = []
    for name, guard in (("without", None), ("with", True)):
        given = {"max_steps": 20, "gradient_accumulation_steps": 2, **FUSED}
        trainer = poison.make(None, tmp_path / name, **given)
        train(trainer, guard=guard)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        runs.append((rows, weights(trainer)))
        assert not hasattr(trainer.optimizer.optimizer, ASKED)
    (bare, some), (guarded, others) = runs
    assert len(by_itself) == 1
    assert bare == guarded
    assert same(some, others)


def test_past_its_budget_the_run_is_stopped_a_step_later(
    by_itself: list[Gate], tmp_path: Path
) -> None:
    """The step that is under way when it is known is kept out, too."""
    trainer = poison.make(poison.NAN, tmp_path, steps=range(20, 40), max_steps=40, **FUSED)
    callback = train(trainer, guard=True)
    assert trainer.state.global_step == 23
    (found,) = callback.report.findings
    assert (found.code, found.severity.label) == ("SFT113", "warning")
    assert "stopped the run at step 23" in found.message
    kept = every_step.read(str(tmp_path))
    assert [step.step for step in kept if step.skipped] == [20, 21, 22, 23]
    assert all(p[3:].isfinite().all() for p in trainer.model.parameters())
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


class Own(torch.optim.AdamW):
    """What its step does nobody knows."""


@pytest.mark.parametrize(
    ("kind", "options", "can"),
    [
        (torch.optim.AdamW, {"fused": True}, True),
        (torch.optim.Adam, {"fused": True}, True),
        (torch.optim.AdamW, {"foreach": True}, False),
        (torch.optim.AdamW, {}, False),
        (torch.optim.SGD, {"fused": True}, False),
        (Own, {"fused": True}, False),
    ],
)
def test_only_an_optimizer_that_asks_is_left_to_it(
    kind: Any, options: dict[str, Any], can: bool
) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = kind([weight], lr=0.1, **options)
    gate = Gate.of(optimizer, weight.device)
    assert (gate is not None) is can
    assert Gate.of(optimizer, torch.device("meta")) is None
    if gate is None:
        return
    for loss, moves in ((math.nan, False), (1.0, True)):
        before = weight.detach().clone()
        weight.grad = torch.ones(3)
        gate.prepare(torch.tensor([loss]), None, finite=True)
        gate.decide(torch.tensor(1.0))
        optimizer.step()
        gate.leave()
        assert torch.equal(before, weight) is not moves
        assert gate.decided().bad is not moves
    assert float(optimizer.state[weight]["step"]) == 1.0


NUMBERS = st.floats(width=32) | st.sampled_from([0.0, 1.0, math.inf, -math.inf, math.nan])


@given(
    losses=st.lists(NUMBERS, min_size=1, max_size=1),
    norm=NUMBERS,
    bound=st.none() | st.tuples(st.floats(0, 10), st.floats(0, 10)),
    skip=st.sampled_from(["non-finite", "none"]),
)
def test_any_step_is_bad_there_where_it_is_here(
    losses: list[float],
    norm: float | None,
    bound: tuple[float, float] | None,
    skip: str,
) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    gate = Gate(torch.optim.AdamW([weight], fused=True), weight.device)
    bad = BadSteps(Guard(skip=skip))
    gate.prepare(torch.tensor(losses), bound, finite=bad.finite)
    gate.decide(torch.tensor(norm))
    assert gate.decided().bad is (bad.reason(sum(losses), norm, bound) is not None)
