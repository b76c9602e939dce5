"""What speaks for a rate that is too high, what only fits, and what counts neither way."""

from __future__ import annotations

import math

import pytest
from logs import decay, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding
from sftdiag.guide.base import Evidence, Weight, rank, settle
from sftdiag.monitor import Monitor

STEPS = 300


def rising(rate: float, schedule: str, turn: int, **context: object) -> Finding:
    """A loss that falls, then rises from a step on."""
    losses = [
        decay(step, STEPS) + min(0.8, max(0, step - turn) * 0.02) for step in range(1, STEPS + 1)
    ]
    shares = {
        "constant": [1.0] * STEPS,
        "linear": [min(s / 50, (STEPS - s) / (STEPS - 50)) for s in range(1, STEPS + 1)],
        "climbing": [s / STEPS for s in range(1, STEPS + 1)],
        "dropped": [1.0] * 60 + [0.05] * (STEPS - 60),
    }[schedule]
    monitor = Monitor(RunContext(**context))
    for row, share in zip(train_rows(noisy(losses, 0.02)), shares, strict=True):
        monitor.feed_entry({**row, "learning_rate": rate * share})
    found = monitor.report().primary
    assert found is not None
    assert found.code == "SFT102"
    return found


def high(found: Finding) -> Cause:
    return next(cause for cause in found.causes if cause.id == "learning-rate-too-high")


@pytest.mark.parametrize(
    ("schedule", "turn", "told"),
    [
        ("constant", 120, None),
        ("linear", 120, "at up to"),
        ("climbing", 120, "at up to 100%"),
        ("dropped", 120, "had come down to 5%"),
    ],
)
def test_a_rate_near_its_peak_fits_and_makes_nothing_likely(
    schedule: str, turn: int, told: str | None
) -> None:
    cause = high(rising(2e-4, schedule, turn))
    said = [text for text in (*cause.because, *cause.against) if "peak" in text and "%" in text]
    assert bool(said) == (told is not None)
    if told is not None:
        assert told in said[0]
        assert (said[0] in cause.against) == (schedule == "dropped")
    assert cause.status.name == "POSSIBLE"


@pytest.mark.parametrize(
    ("rate", "method", "status", "says"),
    [
        (2e-4, None, "POSSIBLE", "above the ranges of full fine-tuning"),
        (2e-4, "lora", "POSSIBLE", "inside the ranges"),
        (2e-4, "full", "LIKELY", "above the ranges in use"),
        (2e-3, None, "LIKELY", "above the ranges in use"),
        (2e-5, None, "POSSIBLE", "inside the ranges"),
    ],
)
def test_a_rate_between_the_methods_ranges_counts_neither_way(
    rate: float, method: str | None, status: str, says: str
) -> None:
    cause = high(rising(rate, "constant", 120, method=method))
    assert cause.status.name == status
    assert says in " ".join((*cause.because, *cause.against, *cause.missing))
    assert bool(cause.missing) == (method is None and rate == 2e-4)
    assert "a first guess" in cause.fixes[0].text


@pytest.mark.parametrize(("parameters", "status"), [(131_392, "POSSIBLE"), (7 * 10**9, "LIKELY")])
def test_the_ranges_prove_nothing_of_a_model_smaller_than_theirs(
    parameters: int, status: str
) -> None:
    known = {"method": "full", "total_parameters": parameters}
    cause = high(rising(3e-3, "constant", 120, **known))
    assert cause.status.name == status
    assert any("bears more" in text for text in cause.because) == (status == "POSSIBLE")
    usual = 2e-5 if status == "LIKELY" else 6e-4
    assert cause.fixes[0].changes["SFTConfig.learning_rate"] == (3e-3, pytest.approx(usual))


@pytest.mark.parametrize(("last", "told"), [(1.5, True), (1.31, False), (1.3, False)])
def test_an_evaluation_rises_with_it_where_it_rises_by_more_than_seeds_differ(
    last: float, told: bool
) -> None:
    losses = [decay(s, STEPS) + min(0.8, max(0, s - 120) * 0.02) for s in range(1, STEPS + 1)]
    monitor = Monitor()
    for row in train_rows(noisy(losses, 0.02), learning_rate=2e-4):
        monitor.feed_entry(row)
        if row["step"] in (100, 200, 300):
            level = {100: 1.3, 200: 1.305, 300: last}[row["step"]]
            monitor.feed_entry({"step": row["step"], "eval_loss": level})
    found = next(f for f in monitor.report().findings if f.code == "SFT102")
    cause = high(found)
    assert any("evaluation loss rose with it" in text for text in cause.because) == told
    assert (cause.status.name == "LIKELY") == told


@pytest.mark.parametrize(("top", "named"), [(1.0, False), (500.0, True)])
@pytest.mark.parametrize(
    ("code", "of_row"),
    [
        ("SFT107", {"loss": 0.0}),
        ("SFT106", {"loss": math.nan, "grad_norm": math.nan}),
        ("SFT101", {"loss": 2.5, "grad_norm": 0.0}),
    ],
)
def test_a_rate_that_was_reached_later_is_no_cause(
    code: str, of_row: dict[str, float], top: float, named: bool
) -> None:
    """The schedule climbs on after the loss is lost: beyond every range from the start, or not."""
    rows = [{"step": 10 * n, "learning_rate": top * n / 1000, **of_row} for n in range(1, 60)]
    found = next(finding for finding in report_of(rows).findings if finding.code == code)
    assert found.onset_step <= 20
    assert found.fired_step <= 300
    rate = [cause for cause in found.causes if cause.id == "learning-rate-too-high"]
    told = " ".join(text for cause in rate for text in cause.because)
    assert ("no model of any size" in told) == named
    hardware = [cause.because for cause in found.causes if cause.id == "hardware-or-kernel"]
    assert all(bool(because) != named for because in hardware)


def test_what_only_fits_ranks_before_nothing_and_below_support() -> None:
    fits, supports, missing = (
        (Evidence(weight, "key"),) for weight in (Weight.FITS, Weight.SUPPORTS, Weight.MISSING)
    )
    assert settle(fits).name == "POSSIBLE"
    assert rank(supports) < rank(fits) < rank(missing)


@pytest.mark.parametrize(
    ("context", "changes", "says"),
    [
        ({"num_train_epochs": 10.0}, {"SFTConfig.num_train_epochs": (10.0, 3)}, "the guide's most"),
        (
            {"num_train_epochs": 10.0, "train_samples": 60_000},
            {"SFTConfig.num_train_epochs": (10.0, 1)},
            "the guide's most",
        ),
        ({"max_steps": 500}, {"SFTConfig.max_steps": (500, 300)}, "that is 3 epochs"),
        ({"max_steps": 300}, {}, "fewer epochs"),
        ({}, {}, "fewer epochs"),
    ],
)
def test_fewer_epochs_or_steps_as_the_run_was_planned(
    context: dict[str, object], changes: dict[str, object], says: str
) -> None:
    found = rising(2e-5, "constant", 120, **context)
    cause = next(cause for cause in found.causes if cause.id == "too-many-epochs")
    assert dict(cause.fixes[0].changes) == changes
    assert says in cause.fixes[0].text


@pytest.mark.parametrize(("asked", "old"), [(None, 1e-3), (2e-3, 2e-3), (1e-3, 1e-3), (1e-5, 1e-3)])
def test_the_rate_in_use_is_not_one_that_the_log_is_above(asked: float | None, old: float) -> None:
    """A resumed run goes on with its checkpoint's rates, whatever the arguments say."""
    (fix, *_) = high(rising(1e-3, "constant", 150, learning_rate=asked)).fixes
    assert fix.changes["SFTConfig.learning_rate"][0] == pytest.approx(old)
