from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from logs import Row, feed, fired

from sftdiag.context import RunContext
from sftdiag.guide.diagnosis import diagnose
from sftdiag.monitor import Monitor
from sftdiag.signals.stream import Signals

PEAK, STEPS = 2e-4, 500

Schedule = Callable[[int], float]


def cosine(warmup: int = 50, steps: int = STEPS) -> Schedule:
    def rate(done: int) -> float:
        if done < warmup:
            return PEAK * done / warmup
        share = (done - warmup) / (steps - warmup)
        return PEAK * (1 + math.cos(math.pi * share)) / 2

    return rate


def linear(warmup: int = 0, steps: int = STEPS) -> Schedule:
    def rate(done: int) -> float:
        if done < warmup:
            return PEAK * done / warmup
        return PEAK * max(0.0, (steps - done) / (steps - warmup))

    return rate


def log(rates: Iterable[float], every: int = 5) -> list[Row]:
    """Return the rows; a rate is that of its step, the first of step 1."""
    return [
        {"step": step, "loss": 2.0 * 0.999**step, "learning_rate": rate}
        for step, rate in enumerate(rates, start=1)
        if step % every == 0
    ]


def through(schedule: Schedule, steps: int = STEPS, start: int = 0) -> list[float]:
    return [schedule(done) for done in range(start, steps)]


def lost(schedule: Schedule, at: int, steps: int = STEPS) -> list[float]:
    """Return the rates of a run that was resumed at this step without a state."""
    return through(schedule, at) + through(schedule, steps - at)


def known(scheduler: str | None = "cosine", **facts: Any) -> RunContext:
    return RunContext(lr_scheduler_type=scheduler, max_steps=STEPS, **facts)


def test_a_second_warm_up() -> None:
    """Two records are enough where the scheduler is known, three with a planned end, else four."""
    rows = log(lost(cosine(), 250))
    assert fired(rows, known()) == [("learning-rate-restarted", "warning", 260)]
    assert fired(rows, known(None)) == [("learning-rate-restarted", "warning", 265)]
    assert fired(rows, RunContext()) == [("learning-rate-restarted", "warning", 270)]
    (finding,) = feed(rows, known())
    assert finding.onset_step == 250
    assert [(cause.id, cause.status.name) for cause in finding.causes] == [
        ("optimizer-state", "LIKELY"),
        ("planned-restart", "RULED_OUT"),
    ]
    assert finding.causes[0].fixes[2].changes == {"SFTConfig.max_steps": (500, 250)}


@pytest.mark.parametrize("every", [1, 2, 5, 10])
@pytest.mark.parametrize("at", [100, 123, 251, 400])
@pytest.mark.parametrize("schedule", [cosine(), linear(30), linear(), cosine(3)])
def test_at_any_step_and_interval(schedule: Schedule, at: int, every: int) -> None:
    """Also at steps that the log does not show."""
    rows = log(lost(schedule, at), every)
    (finding,) = feed(rows, known("linear"))
    assert abs(finding.onset_step - at) <= every
    # Without a warm-up, once a smooth schedule shows that it falls as it did.
    assert at < finding.fired_step <= at + max(4 * every, 0.2 * STEPS)
    if at > 200:
        (alone,) = feed(rows, known(None))
        assert alone.fired_step >= finding.fired_step


def test_a_rate_that_goes_back_up_is_told_with_what_speaks_against_a_plan() -> None:
    """transformers' default, linear without warm-up, in a log alone: it headed for the end."""
    rows = log(lost(linear(), 250))
    (finding,) = feed(rows, known(None))
    assert "jumped from 0.0001 to 0.000198" in finding.message
    assert fired(rows, RunContext()) == []


@pytest.mark.parametrize("scheduler", ["cosine_with_restarts", "greedy", "CyclicLR"])
def test_schedules_that_rise_by_themselves(scheduler: str) -> None:
    assert fired(log(lost(cosine(), 250)), known(scheduler)) == []


@pytest.mark.parametrize("every", [1, 5, 25, 50])
@pytest.mark.parametrize("warmup", [0, 50])
@pytest.mark.parametrize("cycles", [2, 3, 4])
def test_warm_restarts_of_an_unknown_scheduler(cycles: int, warmup: int, every: int) -> None:
    def rate(done: int) -> float:
        if done < warmup:
            return PEAK * done / warmup
        share = cycles * (done - warmup) / (STEPS - warmup)
        return PEAK * (1 + math.cos(math.pi * (share % 1.0))) / 2

    assert fired(log(through(rate), every), known(None)) == []


@pytest.mark.parametrize("every", [1, 5, 25])
def test_cycles_with_a_warm_up_each(every: int) -> None:
    """They repeat the first steps to the last bit; the fall before is smooth."""
    cycle = cosine(warmup=25, steps=125)
    rates = [cycle(done % 125) for done in range(STEPS)]
    assert fired(log(rates, every), known(None)) == []


def test_a_saw_tooth_that_climbs() -> None:
    assert fired(log([PEAK * (done % 100) / 100 for done in range(STEPS)]), known(None)) == []


@pytest.mark.parametrize("factor", [1.2, 2, 5, 10])
@pytest.mark.parametrize("at", [100, 250, 500])
@pytest.mark.parametrize("every", [1, 10, 50])
@pytest.mark.parametrize("make", [cosine, linear])
def test_a_run_that_was_given_more_steps(
    make: Callable[..., Schedule], every: int, at: int, factor: float
) -> None:
    """With its state: the rate jumps up to where the longer schedule is by then."""
    steps = round(factor * STEPS)
    for warmup in (0, 50):
        rates = through(make(warmup), at) + through(make(warmup, steps), steps, at)
        for scheduler in ("cosine", None):
            context = RunContext(lr_scheduler_type=scheduler, max_steps=steps)
            assert fired(log(rates, every), context) == []


def test_a_run_that_goes_on_after_its_end() -> None:
    """What follows was planned afresh, also where the state was not kept."""
    rates = through(linear(10, 300), 300) + through(linear(10, 700), 700)
    assert fired(log(rates), RunContext(max_steps=1000)) == []
    assert fired(log(rates), RunContext(max_steps=1000, lr_scheduler_type="linear")) == []
    twice = RunContext(max_steps=600, lr_scheduler_type="linear")
    assert fired(log(2 * through(linear(10, 300), 300)), twice) == []


def test_a_higher_rate_is_no_restart() -> None:
    rates = through(cosine(), 200) + [20 * rate for rate in through(cosine(), STEPS, 200)]
    assert fired(log(rates), known()) == []


def test_a_lower_rate_from_its_own_warm_up_is_a_run_of_its_own() -> None:
    rates = through(cosine(), 200) + [0.3 * rate for rate in through(cosine(), 300)]
    assert fired(log(rates), known(None)) == []


def test_a_rate_of_zero_in_one_record_is_a_lost_step() -> None:
    rates = through(cosine())
    rates[254] = 0.0
    assert fired(log(rates), known()) == []
    rates[254] = math.nan
    assert fired(log(rates), known()) == []


def test_a_plateau_falls_in_jumps_and_never_rises() -> None:
    rates = [PEAK * 0.1 ** (done // 200) for done in range(STEPS)]
    assert fired(log(rates), known("reduce_lr_on_plateau")) == []
    back = [*rates[:300], *([PEAK] * 200)]
    assert fired(log(back), known("reduce_lr_on_plateau")) == [
        ("learning-rate-restarted", "warning", 315)
    ]


def test_a_log_that_begins_late_or_goes_back_says_why_it_is_not_judged() -> None:
    rows = log(lost(cosine(), 250))
    late = [row for row in rows if row["step"] > 200]
    assert fired(late, known()) == []
    again = [*rows[:50], *rows[40:]]
    assert fired(again, known()) == []


def test_what_the_trainer_resumed_with_is_proof() -> None:
    """Where the rate itself shows nothing, too; as of the step of the resume."""
    rows = log([PEAK] * STEPS)
    context = known("constant", lost_state_steps=(250,))
    (finding,) = feed(rows, context)
    assert (finding.onset_step, finding.fired_step) == (250, 250)
    assert finding.causes[0].id == "optimizer-state"
    assert finding.causes[0].status.name == "CONFIRMED"
    assert fired(rows, known("constant", lost_state_steps=())) == []
    # Before the first record of this part of the run: a resume with other settings.
    assert fired([row for row in rows if row["step"] > 250], context) == []


@pytest.mark.parametrize(
    ("scheduler", "warmup", "at", "severity", "end"),
    [
        # Linear from a tenth of the steps on, cosine from a fifth.
        ("linear", 0, 49, "warning", "10%"),
        ("linear", 0, 50, "error", "10%"),
        ("linear", 50, 250, "error", "56%"),
        ("cosine", 0, 50, "warning", "2%"),
        ("cosine", 0, 102, "warning", "10%"),
        ("cosine", 0, 103, "error", "10%"),
        ("cosine", 50, 250, "error", "59%"),
        # Fewer steps are left than the warm-up has.
        ("linear", 50, 470, "error", "60%"),
        ("linear", 50, 498, "warning", "4%"),
    ],
)
def test_a_proved_restart_is_an_error_where_the_rate_cannot_come_down_again(
    scheduler: str, warmup: int, at: int, severity: str, end: str
) -> None:
    context = known(scheduler, warmup_steps=warmup, lost_state_steps=(at,))
    (finding,) = feed(log([PEAK] * STEPS, 1), context)
    assert (finding.severity.label, dict(finding.fired)) == (severity, {severity: at})
    assert f"was to reach 0, it is at {end}." in finding.message
    assert f"goes up to {'100%' if STEPS - at > warmup else end} of its peak" in finding.message
    fixes = [fix.text for fix in finding.causes[0].fixes]
    assert f"resume from checkpoint-{at} again" in fixes[0]
    assert "save_only_model=False" in fixes[1]
    assert f"over the {STEPS - at:,} steps that were left" in fixes[2]
    assert 'ignore=["SFT110"]' in fixes[3]


@pytest.mark.parametrize(
    ("saved", "named"), [((), None), ((250,), None), ((50, 200, 250, 300), "checkpoint-200")]
)
def test_the_checkpoint_before_the_one_that_had_no_state(
    saved: tuple[int, ...], named: str | None
) -> None:
    monitor = Monitor(known(lost_state_steps=(250,)))
    monitor.take_checkpoints(saved)
    for row in log([PEAK] * STEPS, 1):
        monitor.feed_entry(row)
    fixes = [fix.text for fix in monitor.report().findings[0].causes[0].fixes]
    earlier = [text for text in fixes if "the one before it" in text]
    assert [text.split(", ")[1] for text in earlier] == ([f"resume from {named}"] if named else [])


@pytest.mark.parametrize(
    ("scheduler", "facts"),
    [
        *((name, {}) for name in ("constant", "constant_with_warmup", "inverse_sqrt")),
        *((name, {}) for name in ("polynomial", "cosine_with_min_lr", "warmup_stable_decay")),
        *((name, {}) for name in ("cosine_with_restarts", "cosine, num_cycles=2", "<lambda>")),
        *((name, {"max_steps": None}) for name in ("linear", "cosine")),
        *((name, {"warmup_steps": None}) for name in ("linear", "cosine")),
        (None, {}),
        # The plan ended there, or earlier.
        ("linear", {"max_steps": 250}),
        ("linear", {"max_steps": 200}),
    ],
)
def test_a_proved_restart_is_a_warning_where_no_decay_to_zero_was_surely_planned(
    scheduler: str | None, facts: dict[str, Any]
) -> None:
    context = known(scheduler, lost_state_steps=(250,), warmup_steps=50).replace(**facts)
    (finding,) = feed(log([PEAK] * STEPS), context)
    assert finding.severity.label == "warning"
    assert finding.message.endswith("both began anew.")


def test_a_second_lost_state_makes_a_first_early_one_an_error() -> None:
    context = known("linear", warmup_steps=0, lost_state_steps=(20, 30, 250, 400))
    early, late = feed(log([PEAK] * STEPS), context)
    assert (late.id, dict(late.fired)) == (early.id, {"warning": 20, "error": 250})
    assert "resumed after step 250 without" in late.message


def test_a_log_alone_proves_nothing() -> None:
    (finding,) = feed(log(lost(linear(20), 250)), known("linear", warmup_steps=20))
    assert finding.severity.label == "warning"


def test_a_rebound_after_it_is_its_consequence() -> None:
    rows = log(lost(cosine(), 250))
    for row in rows:
        done = row["step"]
        row["loss"] = 3.0 - done / 250 if done <= 250 else min(2.6, 2.0 + (done - 250) / 100)
    findings = feed(rows, known())
    assert [(f.code, f.consequence_of) for f in findings] == [
        ("SFT110", None),
        ("SFT102", "SFT110@260"),
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("steps", [500, None])
@pytest.mark.parametrize("scheduler", ["cosine", None])
def test_each_variant_reads_in_both_languages(
    lang: str, steps: int | None, scheduler: str | None
) -> None:
    from sftdiag.findings import Detection, Severity

    context = RunContext(lr_scheduler_type=scheduler, max_steps=steps)
    for variant in ("resumed", "resumed_decay", "down", "up"):
        numbers: dict[str, Any] = {
            "restart_step": 250,
            "rate_before": 1e-4,
            "rate_after": 2e-5,
            "rows": 2,
        }
        if variant == "resumed_decay":
            numbers |= {"planned_step": 500, "highest_share": 1.0, "end_share": 0.5}
            numbers["scheduler"] = "linear"
        detection = Detection(
            *("SFT110", "learning-rate-restarted", Severity.WARNING, 260, 250, "learning_rate"),
            numbers,
            variant=variant,
        )
        told = diagnose(detection, "x", {"warning": 260}, Signals(context), lang)
        assert told.message
        assert told.causes[0].because
        assert told.causes[0].fixes
