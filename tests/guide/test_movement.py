"""What a flat loss' little movement says of its learning rate."""

from __future__ import annotations

from itertools import accumulate

import pytest
from logs import Row, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Cause

STEPS = 120
PEAK = 5e-7
START = 11.3


def schedule(constant: bool = False) -> list[float]:
    """A warm-up over a tenth of the steps, then linear to 0."""
    if constant:
        return [PEAK] * STEPS
    return [PEAK * min(s / 12, (STEPS - s) / (STEPS - 12)) for s in range(1, STEPS + 1)]


def cause(rates: list[float], losses: list[float], **context: object) -> Cause:
    rows: list[Row] = [
        {**row, "learning_rate": rate} for row, rate in zip(train_rows(losses), rates, strict=True)
    ]
    (finding,) = [f for f in report_of(rows, RunContext(**context)).findings if f.code == "SFT101"]
    return next(cause for cause in finding.causes if cause.id == "learning-rate-too-low")


def falling(paces: list[float], fall: float) -> list[float]:
    """A loss that falls by so much in all, at each step by its share of the paces."""
    return [START - fall * way / sum(paces) for way in accumulate(paces)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("constant", "by_rate", "fall", "noise", "said"),
    [
        (False, True, 0.5, 0.001, "proportion to the learning rate, which"),
        (False, False, 0.5, 0.001, "rather than in proportion"),
        (True, True, 0.5, 0.001, None),
        (False, True, 0.5, 0.02, None),
        (False, False, 0.5, 0.02, None),
        (False, True, 0.02, 0.001, None),
    ],
)
def test_the_slope_against_the_rate(
    seed: int, constant: bool, by_rate: bool, fall: float, noise: float, said: str | None
) -> None:
    rates = schedule(constant)
    paces = rates if by_rate else [1.0] * STEPS
    low = cause(rates, noisy(falling(paces, fall), noise, seed))
    told = [text for text in (*low.because, *low.against) if "proportion" in text]
    assert bool(told) == (said is not None)
    if said is not None:
        assert said in told[0]
        assert (told[0] in low.because) == by_rate


def test_a_loss_that_falls_evenly_under_a_changing_rate_leaves_a_low_rate_possible() -> None:
    rates = schedule()
    assert cause(rates, noisy(falling(rates, 0.5), 0.001)).status.name == "LIKELY"
    even = cause(rates, noisy(falling([1.0] * STEPS, 0.5), 0.001))
    assert even.status.name == "POSSIBLE"
    assert "a first guess" in even.fixes[0].text


@pytest.mark.parametrize(
    ("rate", "fall", "new", "says"),
    [
        # Usual, and by the pace more than enough.
        (PEAK, 0.45, 2e-5, "then takes about 7"),
        (PEAK, 0.0, 2e-5, "a first guess"),
        # The usual rate would be too slow to see: 301 steps at 1e-5, 150 at 2e-5.
        (1e-5, 0.45, 3e-5, "then takes about 10"),
    ],
)
def test_the_fix_names_the_rate_that_the_pace_implies(
    rate: float, fall: float, new: float, says: str
) -> None:
    rates = [rate] * STEPS
    low = cause(rates, noisy(falling(rates, fall), 0.001), method="full", vocab_size=80_000)
    (fix,) = low.fixes
    assert says in fix.text
    assert fix.changes["SFTConfig.learning_rate"] == (rate, pytest.approx(new, rel=0.1))


def test_a_pace_beyond_the_ranges_says_to_look_elsewhere_too() -> None:
    rates = [1e-5] * 400
    losses = noisy([11.3 - 0.08 * step / 400 for step in range(400)], 0.0005)
    low = cause(rates, losses, method="full")
    (fix,) = low.fixes
    assert fix.changes["SFTConfig.learning_rate"] == (1e-5, 5e-5)
    assert "look at the other causes" in fix.text


def test_a_loss_that_fell_first_was_moved_by_its_rate_and_its_weights() -> None:
    losses = [18.0, 15.0, 12.0, 9.0, *noisy([7.4] * 96, 0.002)]
    rows = train_rows(losses, learning_rate=1e-4, grad_norm=0.4)
    (finding,) = report_of(rows).findings
    assert "fell from 18" in finding.message
    status = {cause.id: cause.status.name for cause in finding.causes}
    assert status["frozen-parameters"] == status["learning-rate-too-low"] == "POSSIBLE"
    for name in ("frozen-parameters", "learning-rate-too-low"):
        (low,) = [cause for cause in finding.causes if cause.id == name]
        assert any("fell first" in text for text in low.against)


@pytest.mark.parametrize(
    ("first", "context", "told"),
    [
        (18.8, {}, True),
        (12.0, {}, False),
        (12.0, {"vocab_size": 32_000}, True),
        (10.4, {"vocab_size": 32_000}, False),
    ],
)
def test_a_loss_that_began_above_any_blind_guess(
    first: float, context: dict[str, int], told: bool
) -> None:
    rows: list[Row] = []
    losses = [first, (first + 7.4) / 2, *noisy([7.4] * 96, 0.002)]
    for row in train_rows(losses, learning_rate=1e-4, grad_norm=0.4):
        rows.append(row)
        if row["step"] in (40, 80):
            rows.append({"step": row["step"], "eval_loss": 7.4})
    (finding,) = report_of(rows, RunContext(**context)).findings
    said = [c for c in finding.causes if any("than a blind guess (" in t for t in c.because)]
    assert {cause.status.name for cause in said} <= {"POSSIBLE"}
    where = {"label-mask", "label-misalignment", "quantization-or-dtype"}
    assert {cause.id for cause in said} == (where if told else set())


def test_what_is_ruled_out_is_told_by_what_rules_it_out_alone() -> None:
    losses = noisy([11.3 - 0.08 * step / 400 for step in range(400)], 0.0005)
    low = cause([1e-3] * 400, losses, method="full")
    assert low.status.name == "RULED_OUT"
    assert [text for text in low.because if "above every range" in text] == list(low.because)


@pytest.mark.parametrize("rate", [2e-5, 5e-5])
def test_a_rate_that_is_usual_is_not_raised_to_the_usual_one(rate: float) -> None:
    low = cause([rate] * STEPS, noisy([START] * STEPS, 0.0001), method="full")
    (fix,) = low.fixes
    assert f"is no lower than the usual one (2e-05): try {3 * rate:.2g} for 100 steps" in fix.text
    assert fix.changes == {}
