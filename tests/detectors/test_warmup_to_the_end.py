"""When a warm-up that takes nearly all of a run is told, and which rates must be left alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, feed, report_of

from sftdiag.checks import Inputs, run_checks
from sftdiag.context import RunContext
from sftdiag.findings import Finding
from sftdiag.monitor import Monitor
from sftdiag.ranges import LONG_WARMUP, TRIAL_STEPS
from sftdiag.signals.blocks import MAX_BLOCKS

PEAK, STEPS = 5e-5, 600


def warmup(over: int, steps: int = STEPS, before: int = 0) -> Callable[[int], float]:
    """Return transformers' linear schedule; ``before``: rows show the rate of the step before."""

    def rate(step: int) -> float:
        at = step - before
        return PEAK * (at / over if at <= over else max(0.0, (steps - at) / max(1, steps - over)))

    return rate


def log(rate: Callable[[int], float], steps: int = STEPS, every: int = 10) -> list[Row]:
    return [
        {"step": step, "loss": 2.0 - step / steps, "learning_rate": rate(step)}
        for step in range(every, steps + 1, every)
    ]


def told(rows: list[Row], steps: int | None = STEPS, **facts: object) -> list[Finding]:
    found = feed(rows, RunContext(max_steps=steps).replace(**facts))
    return [finding for finding in found if finding.code == "SFT118"]


@pytest.mark.parametrize("every", [1, 5, 10, 50])
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("over", [500, 600, 1000, 10_000])
def test_a_rate_that_still_rises(every: int, before: int, over: int) -> None:
    rows = log(warmup(over, before=before), every=every)
    (finding,) = told(rows)
    assert (finding.severity.label, finding.onset_step) == ("info", every)
    # Rows come every so many steps; a block of more rows closes a little later.
    assert LONG_WARMUP * STEPS <= finding.fired_step <= LONG_WARMUP * STEPS + 2 * every
    report = report_of(rows, RunContext(max_steps=STEPS))
    (finding,) = (each for each in report.findings if each.code == "SFT118")
    assert finding.evidence["last"] == min(STEPS, (over + before) // every * every)
    assert finding.causes[0].status.name == "CONFIRMED"
    assert report.verdict == "info"


def test_what_was_said_before_step_1_is_not_said_again() -> None:
    known = RunContext(max_steps=STEPS, warmup_steps=600)
    for checked in (False, True):
        monitor = Monitor(known)
        if checked:
            monitor.take_checks(run_checks(Inputs(known), "SFT508"))
        live = [each.code for row in log(warmup(600)) for each in monitor.feed_entry(row)]
        assert live.count("SFT118") == (not checked)
        assert ("SFT508" in [each.code for each in monitor.report().findings]) is checked


def test_a_run_of_many_rows() -> None:
    """Blocks are merged: the line is that of their middles."""
    steps = 40 * MAX_BLOCKS
    (finding,) = told(log(warmup(2 * steps, steps), steps, every=1), steps)
    assert finding.fired_step == LONG_WARMUP * steps


def test_it_is_said_in_the_runs_own_numbers() -> None:
    rows = log(warmup(1000))
    known = RunContext(max_steps=STEPS, learning_rate=PEAK, warmup_steps=1000)
    (finding,) = report_of(rows, known).findings
    assert "3e-05 of the 5e-05 asked for" in finding.message
    assert finding.causes[0].fixes[0].changes == {"SFTConfig.warmup_steps": (1000, 60)}
    (finding,) = report_of(rows, RunContext(max_steps=STEPS)).findings
    assert "warmup_steps=0.1" in finding.causes[0].fixes[0].text


def test_rounded_rates() -> None:
    rows = log(warmup(1000))
    for row in rows:
        row["learning_rate"] = float(f"{row['learning_rate']:.2g}")
    assert told(rows)


SILENT: dict[str, Callable[[int], float]] = {
    "a tenth": warmup(60),
    "half": warmup(300),
    "three quarters": warmup(450),
    "constant": lambda step: PEAK,
    "a range test": lambda step: 1e-7 * 1000 ** (step / STEPS),
    "stages": lambda step: PEAK * (1 + step // 150) / 4,
    "a triangle that rises again": lambda step: PEAK * abs((step % 400) / 200 - 1),
    "a cosine with restarts": lambda step: PEAK * (1 + math.cos(math.pi * (step % 200) / 200)) / 2,
    "a rise from a rate of its own": lambda step: PEAK * (0.5 + step / STEPS),
    "a square": lambda step: PEAK * (step / STEPS) ** 2,
}


@pytest.mark.parametrize("name", SILENT)
def test_silence(name: str) -> None:
    assert not told(log(SILENT[name]))


def test_what_is_not_known_is_not_told() -> None:
    rows = log(warmup(1000))
    assert not told(rows, None)
    # The plan is longer: it may well come down.
    assert not told(rows, 2 * STEPS)
    assert not told(log(warmup(1000, 10), 10, every=1), TRIAL_STEPS - 10)
    assert "warmup-to-the-end" not in report_of(rows, RunContext()).skipped


@settings(max_examples=100, deadline=None)
@given(share=st.floats(0.0, LONG_WARMUP - 0.06), every=st.sampled_from([1, 5, 20]))
def test_no_warm_up_of_less(share: float, every: int) -> None:
    assert not told(log(warmup(max(1, int(share * STEPS))), every=every))


def flat_log(fall: float, over: int) -> list[Row]:
    """Return a loss that falls by a share of itself in all, beside a rate that warms up so long."""
    rows = log(warmup(over))
    for place, row in enumerate(rows):
        row["loss"] = 4.8 * (1 - fall * place / len(rows)) + (0.01, -0.01, 0.0)[place % 3]
    return rows


def test_a_loss_that_hardly_moves_is_not_waited_for_where_the_plan_ends_in_its_warm_up() -> None:
    report = report_of(flat_log(0.03, 5 * STEPS), RunContext(max_steps=STEPS))
    assert report.primary is not None
    assert (report.primary.code, report.verdict) == ("SFT101", "warning")
    assert "still warming up" in report.primary.message
    cause = report.primary.causes[0]
    assert (cause.id, cause.status.name) == ("schedule", "CONFIRMED")


@pytest.mark.parametrize("fall", [0.06, 0.3])
def test_a_loss_that_falls_all_the_same_has_learned(fall: float) -> None:
    report = report_of(flat_log(fall, 5 * STEPS), RunContext(max_steps=STEPS))
    assert (report.primary, report.verdict) == (None, "info")


def test_a_rate_that_jumps_up_with_the_last_row_is_no_warm_up() -> None:
    """A cosine of a step too few wraps around: the loss is at its floor by then."""
    rows = flat_log(0.03, 60)
    rows[-1]["learning_rate"] = PEAK
    report = report_of(rows, RunContext(max_steps=STEPS))
    assert report.primary is None
