from __future__ import annotations

import pytest
from logs import Row, decay, feed, fired, healthy, noisy, overfitting, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Finding


def scaled(factor: float, steps: int = 200, every: int = 20, **constant: float) -> list[Row]:
    """Train loss ``factor`` times the evaluation loss, both falling."""
    losses = noisy([factor * decay(step, steps) for step in range(1, steps + 1)], 0.02)
    rows: list[Row] = []
    for row in train_rows(losses, **constant):
        rows.append(row)
        if row["step"] % every == 0:
            rows.append({"step": row["step"], "eval_loss": decay(row["step"], steps)})
    return rows


def mine(rows: list[Row], context: RunContext | None = None) -> list[Finding]:
    return [f for f in feed(rows, context) if f.name == "train-eval-scale-mismatch"]


@pytest.mark.parametrize("factor", [2.0, 4.0, 0.25])
def test_a_constant_ratio(factor: float) -> None:
    (finding,) = mine(scaled(factor))
    # A gap of the first epoch needs two evaluations, any other constant ratio three.
    assert (finding.severity.label, finding.fired_step) == ("info", 60 if factor > 0.3 else 40)
    assert finding.evidence["ratio"] == pytest.approx(factor, rel=0.05)


def test_the_accumulation_confirms_it() -> None:
    (finding,) = mine(scaled(4.0), RunContext(gradient_accumulation_steps=4))
    cause = finding.causes[0]
    assert (cause.id, cause.status.name) == ("not-divided-by-accumulation", "CONFIRMED")
    (finding,) = mine(scaled(4.0), RunContext(gradient_accumulation_steps=16))
    assert finding.causes[0].status.name == "POSSIBLE"
    (finding,) = mine(scaled(4.0), RunContext(gradient_accumulation_steps=1))
    assert {c.id: c.status.name for c in finding.causes}[cause.id] == "RULED_OUT"


def test_an_evaluation_that_is_higher_is_another_distribution() -> None:
    (finding,) = mine(scaled(0.4))
    cause = finding.causes[0]
    assert (cause.id, cause.status.name) == ("eval-distribution", "LIKELY")


def test_a_loss_summed_over_the_processes() -> None:
    (finding,) = mine(scaled(0.125), RunContext(world_size=8))
    assert "processes" in finding.message
    cause = next(c for c in finding.causes if c.id == "summed-over-processes")
    assert cause.status.name == "LIKELY"
    (finding,) = mine(scaled(0.125), RunContext(world_size=1))
    cause = next(c for c in finding.causes if c.id == "summed-over-processes")
    assert cause.status.name == "RULED_OUT"


@pytest.mark.parametrize("rows", [healthy(), overfitting(), scaled(1.5), scaled(0.7)])
def test_usual_gaps_are_silent(rows: list[Row]) -> None:
    assert mine(rows) == []


def test_a_gap_that_grows_is_no_scale() -> None:
    rows = scaled(1.0)
    for row in rows:
        if "eval_loss" in row:
            row["eval_loss"] *= 1.5 + row["step"] / 60
    assert mine(rows) == []


def test_a_model_that_does_not_learn_shows_no_scale() -> None:
    rows = scaled(4.0)
    for row in rows:
        row["loss" if "loss" in row else "eval_loss"] = 8.0 if "loss" in row else 2.0
    assert mine(rows) == []


def test_it_resolves_when_the_ratio_no_longer_holds() -> None:
    rows = scaled(4.0)
    for row in rows:
        if "loss" in row and row["step"] > 100:
            row["loss"] /= 4
    assert [f.resolved_step for f in mine(rows)] == [None, 140]


def test_it_is_never_the_primary_finding() -> None:
    assert {what[1] for what in fired(scaled(4.0))} == {"info"}


def test_other_objectives_are_silent() -> None:
    assert mine([{**row, "reward": 1.0} if "loss" in row else row for row in scaled(4.0)]) == []


@pytest.mark.parametrize("pair", [(5e-324, 2.0), (2.0, 5e-324), (1e300, 1e-300)])
def test_a_ratio_beyond_every_number_is_none(pair: tuple[float, float]) -> None:
    loss, eval_loss = pair
    rows = [{"step": step, "loss": loss, "eval_loss": eval_loss} for step in range(1, 6)]
    assert "train-eval-scale-mismatch" not in {name for name, *_ in fired(rows)}
