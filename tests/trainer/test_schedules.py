"""SFT110 on transformers' own schedulers, and on a real trainer whose state was lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sftdiag
from sftdiag.context import RunContext
from sftdiag.detectors._planned_end import DECAYS_TO_ZERO, planned_end
from sftdiag.detectors.learning_rate_restarted import NEVER_RISES, PLATEAU
from sftdiag.findings import Status
from sftdiag.trainer import schedules

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from logs import Row, fired  # noqa: E402
from transformers.trainer_utils import SchedulerType  # noqa: E402

STEPS, WARMUP, AT, PEAK = 300, 30, 140, 2e-4

BY_EVALUATION = {"reduce_lr_on_plateau", "greedy"}

KINDS = sorted({kind.value for kind in SchedulerType} - BY_EVALUATION)

WANTS: dict[str, dict[str, Any]] = {
    "cosine_with_restarts": {"num_cycles": 3},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 60},
}


def schedule(kind: str, steps: int = STEPS) -> Any:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    return transformers.get_scheduler(
        kind, optimizer, WARMUP, steps, scheduler_specific_kwargs=dict(WANTS.get(kind, {}))
    )


def rates(scheduler: Any, steps: int) -> Iterator[float]:
    for _ in range(steps):
        yield scheduler.get_last_lr()[0]
        scheduler.optimizer.step()
        scheduler.step()


def log(logged: list[float], every: int) -> list[Row]:
    rows = [
        {"step": n, "loss": 2 * 0.99**n, "learning_rate": r} for n, r in enumerate(logged, start=1)
    ]
    return [row for row in rows if row["step"] % every == 0]


def test_every_scheduler_is_sorted() -> None:
    """A new one of transformers must be looked at: may it rise after its peak?"""
    rising = {"cosine_with_restarts", "greedy"}
    assert {kind.value for kind in SchedulerType} <= NEVER_RISES | rising
    assert PLATEAU in NEVER_RISES


@pytest.mark.parametrize("every", [1, 5, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_lost_and_prolonged(kind: str, every: int) -> None:
    scheduler = schedule(kind)
    before = list(rates(scheduler, AT))
    prolonged = schedule(kind, 3 * STEPS)
    prolonged.load_state_dict(scheduler.state_dict())
    longer = before + list(rates(prolonged, 3 * STEPS - AT))
    whole = before + list(rates(scheduler, STEPS - AT))
    lost = before + list(rates(schedule(kind), STEPS - AT))
    for name in (kind, None):
        context = RunContext(lr_scheduler_type=name, max_steps=STEPS)
        assert fired(log(whole, every), context) == []
        assert fired(log(longer, every), context.replace(max_steps=3 * STEPS)) == []
    found = [step for *_, step in fired(log(lost, every), context.replace(lr_scheduler_type=kind))]
    # A constant rate shows nothing; a rate that may rise proves nothing.
    shows = kind not in ("constant", "cosine_with_restarts")
    assert (len(found) == 1 and AT < found[0] <= AT + 3 * every) if shows else not found


@pytest.mark.parametrize("kind", KINDS)
def test_the_scheduler_says_which_it_is(kind: str) -> None:
    args = transformers.TrainingArguments("unused", lr_scheduler_type=kind, use_cpu=True)
    assert schedules.name(args, schedule(kind)) == kind
    assert schedules.name(args, None) == kind
    optimizer = schedule(kind).optimizer
    cycles = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10)
    assert schedules.name(args, cycles) == "CosineAnnealingWarmRestarts"
    own = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    assert schedules.name(args, own) == "<lambda>"
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    assert schedules.name(args, plateau) == "reduce_lr_on_plateau"


@pytest.mark.parametrize("mode", [None, "min", "max"])
def test_which_way_a_plateau_is_waited_for(mode: str | None) -> None:
    """Before and after the scheduler is made; transformers makes it by "min" unless told."""
    settings = {} if mode is None else {"mode": mode}
    optimizer = schedule("cosine").optimizer
    for kind in (PLATEAU, "greedy"):
        args = transformers.TrainingArguments(
            "unused",
            lr_scheduler_type=kind,
            lr_scheduler_kwargs=settings,
            eval_strategy="epoch",
            metric_for_best_model="accuracy",
            use_cpu=True,
        )
        made = transformers.get_scheduler(kind, optimizer, scheduler_specific_kwargs=settings)
        assert args.greater_is_better
        for scheduler in (None, made):
            assert schedules.plateau_mode(args, scheduler) == (mode or "min")
        assert schedules.plateau_mode(args, schedule("cosine")) is None
    cosine = transformers.TrainingArguments("unused", lr_scheduler_type="cosine", use_cpu=True)
    assert schedules.plateau_mode(cosine, None) is None
    assert schedules.plateau_mode(cosine, made) == (mode or "min")


@pytest.mark.parametrize("cycles", [0.25, 1.0, 2.0])
def test_a_cosine_of_other_waves_is_no_plain_cosine(cycles: float) -> None:
    args = transformers.TrainingArguments("unused", lr_scheduler_type="cosine", use_cpu=True)
    optimizer = schedule("cosine").optimizer
    waves = transformers.get_scheduler(
        "cosine", optimizer, 0, STEPS, scheduler_specific_kwargs={"num_cycles": cycles}
    )
    assert schedules.name(args, waves) == f"cosine, num_cycles={cycles}"


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_scheduler_of_transformers_is_not_called_as_asked(kind: str, asked: str) -> None:
    """``Trainer(optimizers=(optimizer, get_cosine_...(...)))`` leaves the arguments at linear."""
    args = transformers.TrainingArguments("unused", lr_scheduler_type=asked, use_cpu=True)
    called = schedules.name(args, schedule(kind), STEPS)
    if kind == asked or (kind, asked) == ("cosine", "cosine_with_min_lr"):
        # A plain cosine is one whose least rate is 0.
        assert called == asked
    else:
        assert called not in NEVER_RISES | DECAYS_TO_ZERO.keys()


@pytest.mark.parametrize("kind", sorted(DECAYS_TO_ZERO))
def test_a_decay_over_other_steps_than_planned_is_called_so(kind: str) -> None:
    args = transformers.TrainingArguments("unused", lr_scheduler_type=kind, use_cpu=True)
    called = schedules.name(args, schedule(kind, 4 * STEPS), STEPS)
    assert called == f"{kind}, num_training_steps={4 * STEPS}"


def test_every_scheduler_is_sorted_by_where_it_ends() -> None:
    """A new one of transformers must be looked at: does it surely decay to 0?"""
    elsewhere = {"polynomial", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "greedy"}
    elsewhere |= {"warmup_stable_decay", "cosine_with_restarts", "inverse_sqrt", PLATEAU}
    elsewhere |= {"constant", "constant_with_warmup"}
    assert {kind.value for kind in SchedulerType} <= DECAYS_TO_ZERO.keys() | elsewhere
    assert not DECAYS_TO_ZERO.keys() & elsewhere


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(DECAYS_TO_ZERO)),
    st.integers(0, 40),
    st.integers(41, 120),
    st.integers(1, 119),
)
def test_the_planned_end_is_that_of_the_scheduler(
    kind: str, warmup: int, steps: int, at: int
) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    factor = transformers.get_scheduler(kind, optimizer, warmup, steps).lr_lambdas[0]
    context = RunContext(lr_scheduler_type=kind, warmup_steps=warmup, max_steps=steps)
    assert factor(steps) == pytest.approx(0.0)
    end = planned_end(context, at)
    if at >= steps:
        assert end is None
        return
    assert end is not None
    assert end.rate == pytest.approx(factor(steps - at))
    assert end.highest == pytest.approx(max(factor(done) for done in range(steps - at + 1)))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["none", "save_only_model", "moved", "scheduler_only"])
def test_a_real_trainer_resumes(tmp_path: Path, fault: str) -> None:
    """With what it saved, or with a part of it; analyze says what was said live."""
    arguments: dict[str, Any] = {
        "max_steps": 60,
        "logging_steps": 2,
        "eval_strategy": "no",
        "warmup_steps": 6,
        "lr_scheduler_type": "cosine",
        "save_strategy": "steps",
        "save_steps": 30,
        "save_only_model": fault == "save_only_model",
    }
    first = finetune.make_trainer("none", tmp_path, **arguments)
    sftdiag.attach(first)
    first.train()
    shutil.rmtree(tmp_path / "checkpoint-60")
    checkpoint = tmp_path / "checkpoint-30"
    if fault in ("moved", "scheduler_only"):
        (checkpoint / "optimizer.pt").unlink()
    if fault == "moved":
        (checkpoint / "scheduler.pt").unlink()
    trainer = finetune.make_trainer("none", tmp_path, **arguments)
    callback = sftdiag.attach(trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    found = [f for f in callback.report.findings if f.code == "SFT110"]
    finetune.save_log(trainer, tmp_path)
    offline = [f for f in sftdiag.analyze(tmp_path).findings if f.code == "SFT110"]
    assert offline == found
    if fault == "none":
        assert found == []
        return
    (finding,) = found
    assert (finding.onset_step, finding.fired_step) == (30, 30)
    assert finding.causes[0].id == "optimizer-state"
    assert finding.causes[0].status is Status.CONFIRMED
