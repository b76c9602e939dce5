"""When a rate above the run's own peak is told, and every schedule on which it must be silent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, feed

from sftdiag.context import RunContext
from sftdiag.detectors.learning_rate_jump import GREEDY, PLANNED
from sftdiag.findings import Finding

PEAK, STEPS = 2e-4, 200


def log(rates: Sequence[float], every: int = 1) -> list[Row]:
    """Return the rows; a rate is that of its step, the first of step 1."""
    return [
        {"step": step, "loss": 1.0 + 2.0 / step, "learning_rate": rate}
        for step, rate in enumerate(rates, start=1)
        if step % every == 0
    ]


def told(
    rates: Sequence[float], scheduler: str | None, every: int = 1, **facts: Any
) -> list[Finding]:
    known = {"learning_rate": PEAK, "max_steps": len(rates), **facts}
    found = feed(log(rates, every), RunContext(lr_scheduler_type=scheduler, **known))
    return [finding for finding in found if finding.code == "SFT116"]


def cosine(steps: int = STEPS, peak: float = PEAK) -> list[float]:
    return [peak * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]


def spiking(times: float, scheduler: str | None = "my_cosine", **facts: Any) -> list[Finding]:
    rates = cosine()
    rates[120:130] = [rate * times for rate in rates[120:130]]
    return told(rates, scheduler, **facts)


@pytest.mark.parametrize("scheduler", ["cosine", "my_cosine", None])
@pytest.mark.parametrize(
    ("times", "severity"), [(5.0, None), (12.0, "warning"), (40.0, "error")], ids=str
)
def test_a_spike_of_the_schedule(scheduler: str | None, times: float, severity: str | None) -> None:
    """At 0.345 of the peak: 1.7 times it is nothing, 4.1 a warning, 13.8 an error, all at once."""
    found = spiking(times, scheduler)
    if severity is None:
        assert not found
        return
    (finding,) = found
    assert (finding.severity.label, finding.fired_step, finding.onset_step) == (severity, 121, 120)
    assert finding.evidence["times"] == pytest.approx(0.3455 * times, rel=1e-3)
    (cause,) = finding.causes
    assert (cause.id, cause.status.name) == ("schedule", "CONFIRMED")
    assert ("something else sets the rate" in " ".join(cause.because)) is (scheduler == "cosine")


def test_a_constant_rate_that_something_raises() -> None:
    rates = [PEAK] * 100 + [30 * PEAK] * 5 + [PEAK] * 95
    assert [f.fired_step for f in told(rates, "constant")] == [101]
    # Stages of one's own may climb, and the rate asked for may be that of another optimizer.
    assert not told(rates, "my_stages")
    assert not told(rates, "constant", learning_rate=PEAK * 100)
    assert not told(rates, "constant", learning_rate=None)


def test_a_resume_may_begin_a_new_schedule() -> None:
    rates = cosine(100) + cosine(100, 20 * PEAK)
    assert [f.fired_step for f in told(rates, "cosine")] == [101]
    assert not told(rates, "cosine", resumed_steps=(100,))


def test_what_is_not_known_is_not_named() -> None:
    """Few logs have the settings beside them: without them nothing is said of it."""
    from sftdiag.monitor import Monitor

    def named(context: RunContext) -> bool:
        monitor = Monitor(context)
        for row in log(cosine()):
            monitor.feed_entry(row)
        report = monitor.report()
        return "learning-rate-jump" in (*report.ran, *report.skipped)

    assert named(RunContext(learning_rate=PEAK))
    assert not named(RunContext())


def of_torch(make: Callable[[Any], Any], groups: int = 1, steps: int = STEPS) -> list[float]:
    """Return the rates that a trainer logs of a real scheduler, by its first group."""
    torch = pytest.importorskip("torch")
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(groups)]
    optimizer = torch.optim.SGD(
        [{"params": [w], "lr": PEAK / 10**i} for i, w in enumerate(weights)], lr=PEAK
    )
    scheduler, rates = make(optimizer), []
    waits = type(scheduler).__name__ in ("ReduceLROnPlateau", "GreedyLR")
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if not waits:
            scheduler.step()
        elif step % 10 == 9:
            # Better for half of the run, then worse.
            scheduler.step(abs(step - steps / 2))
    return rates


def schedules() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield every schedule that transformers has, with the settings that change its shape."""
    yield "linear", {"num_warmup_steps": 10}, {}
    yield "cosine", {"num_warmup_steps": 10}, {}
    yield "cosine", {"num_warmup_steps": 0}, {"num_cycles": 3.5}
    yield "cosine_with_restarts", {"num_warmup_steps": 10}, {"num_cycles": 5}
    yield "polynomial", {"num_warmup_steps": 10}, {"power": 2.0}
    yield "constant", {}, {}
    yield "constant_with_warmup", {"num_warmup_steps": 40}, {}
    yield "inverse_sqrt", {"num_warmup_steps": 1}, {}
    yield "reduce_lr_on_plateau", {}, {"factor": 0.1, "patience": 0}
    yield "cosine_with_min_lr", {"num_warmup_steps": 10}, {"min_lr_rate": 0.1}
    yield "cosine_warmup_with_min_lr", {"num_warmup_steps": 20}, {"min_lr_rate": 0.1}
    wsd = {"num_decay_steps": 50}
    yield "warmup_stable_decay", {"num_warmup_steps": 20}, wsd
    yield "greedy", {}, {}


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(
    ("name", "warmup", "shape"), list(schedules()), ids=[str(s[0]) for s in schedules()]
)
def test_no_schedule_of_transformers(
    name: str, warmup: dict[str, Any], shape: dict[str, Any], groups: int
) -> None:
    """As it is, after a lost state, over its end, and continued by a resume with more steps."""
    optimization = pytest.importorskip("transformers.optimization")
    if name not in list(optimization.SchedulerType):
        pytest.skip("this version of transformers does not have it")

    def make(steps: int) -> Callable[[Any], Any]:
        return lambda optimizer: optimization.get_scheduler(
            name,
            optimizer,
            num_training_steps=steps,
            scheduler_specific_kwargs=dict(shape),
            **warmup,
        )

    once = of_torch(make(STEPS), groups)
    longer = of_torch(make(3 * STEPS), groups, 3 * STEPS)
    for rates in (
        once,
        once[: STEPS // 2] + once,
        of_torch(make(STEPS // 3), groups),
        once[: STEPS // 2] + longer[STEPS // 2 :],
    ):
        for every in (1, 7, 25):
            assert not told(rates, name, every)
            # The same shape, made by a function of the user's own.
            assert not told(rates, f"my_{name}", every)


def test_the_schedules_that_are_known_are_those_of_transformers() -> None:
    optimization = pytest.importorskip("transformers.optimization")
    names = {kind.value for kind in optimization.SchedulerType}
    assert names <= PLANNED | {GREEDY}


@pytest.mark.parametrize(
    "name", ["StepLR", "OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts"]
)
def test_no_schedule_of_torch(name: str) -> None:
    schedulers = pytest.importorskip("torch").optim.lr_scheduler
    settings: dict[str, dict[str, Any]] = {
        "StepLR": {"step_size": 30, "gamma": 0.1},
        "OneCycleLR": {"max_lr": PEAK * 10, "total_steps": STEPS + 1},
        "CyclicLR": {"base_lr": PEAK, "max_lr": PEAK * 8, "step_size_up": 20},
        "CosineAnnealingWarmRestarts": {"T_0": 25, "T_mult": 2},
    }
    rates = of_torch(lambda optimizer: getattr(schedulers, name)(optimizer, **settings[name]))
    assert not any(told(rates, name, every) for every in (1, 7, 25))


@settings(max_examples=200, deadline=None)
@given(
    stages=st.lists(st.tuples(st.floats(0.001, 1.0), st.integers(1, 60)), min_size=1, max_size=6),
    every=st.sampled_from([1, 5, 10]),
    scheduler=st.sampled_from(["my_steps", None, "constant"]),
)
def test_no_steps_of_ones_own_up_to_the_rate_asked_for(
    stages: list[tuple[float, int]], every: int, scheduler: str | None
) -> None:
    rates = [PEAK * share for share, steps in stages for _ in range(steps)]
    assert not told(rates, scheduler, every)


@settings(max_examples=100, deadline=None)
@given(
    climbs=st.lists(st.tuples(st.floats(1.0, 50.0), st.integers(1, 30)), min_size=1, max_size=6),
    asked=st.floats(1e-6, 1e-2),
)
def test_no_stages_that_climb(climbs: list[tuple[float, int]], asked: float) -> None:
    """Each higher than the one before, by however much, whatever the arguments ask for."""
    rate, rates = 1e-6, []
    for times, steps in climbs:
        rate *= times
        rates += [rate] * steps
    assert not told(rates, "my_stages", learning_rate=asked)
