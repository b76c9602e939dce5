from __future__ import annotations

import random

import pytest
from logs import Row, decay, feed, fired, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Finding


def spiky(*steps: int, size: float = 3.0, steps_in_all: int = 400, **constant: float) -> list[Row]:
    """Fall from 3 to 1 with 3 % of noise; ``size`` times the loss at these steps."""
    rows = train_rows(
        noisy([decay(step, steps_in_all) for step in range(steps_in_all)], 0.03), **constant
    )
    for row in rows:
        if row["step"] in steps:
            row["loss"] *= size
    return rows


def last(rows: list[Row], context: RunContext | None = None) -> Finding:
    """Return the finding at the end of the log."""
    return next(f for f in report_of(rows, context).findings if f.name == "loss-spike")


def test_one_spike_is_worth_knowing() -> None:
    (finding,) = feed(spiky(300))
    assert (finding.name, finding.severity.label) == ("loss-spike", "info")
    assert (finding.onset_step, finding.fired_step) == (300, 303)


def test_three_spikes_are_a_warning() -> None:
    assert fired(spiky(210, 260, 350)) == [
        ("loss-spike", "info", 213),
        ("loss-spike", "warning", 353),
    ]


def test_a_spike_may_take_three_rows() -> None:
    assert fired(spiky(210, 211, 212)) == [("loss-spike", "info", 215)]


def test_what_does_not_come_back_is_no_spike() -> None:
    rows = spiky(*range(300, 401))
    assert "loss-spike" not in {finding.name for finding in feed(rows)}


@pytest.mark.parametrize("steps", [(5, 10, 15), ()])
def test_the_opening_is_not_told(steps: tuple[int, ...]) -> None:
    assert fired(spiky(*steps)) == []


def test_nothing_is_told_while_the_rate_climbs() -> None:
    rows = spiky(210, 260, 350)
    for row in rows:
        row["learning_rate"] = 1e-7 * row["step"]
    assert fired(rows) == []


def test_a_small_jump_is_silent() -> None:
    assert fired(spiky(210, 260, 350, size=1.4)) == []


@pytest.mark.parametrize("kind", ["student", "lognormal", "batch of one"])
@pytest.mark.parametrize("seed", range(4))
def test_heavy_tails_do_not_warn(kind: str, seed: int) -> None:
    draw = random.Random(seed)

    def factor() -> float:
        if kind == "student":
            return max(0.1, 1 + 0.1 * draw.gauss(0, 1) / (draw.gammavariate(1.5, 2 / 3) ** 0.5))
        if kind == "lognormal":
            return draw.lognormvariate(0.0, 0.6)
        return draw.gammavariate(3.0, 1 / 3)

    rows = train_rows([decay(step, 3000) * factor() for step in range(3000)])
    assert [what for what in fired(rows) if what[1] != "info"] == []


def test_jumps_of_a_loss_near_zero_are_no_spikes() -> None:
    losses = [max(0.001, 2.0 * 0.95**step) for step in range(400)]
    for step in (210, 260, 350):
        losses[step] = 0.05
    assert "loss-spike" not in {finding.name for finding in feed(train_rows(losses))}


def test_spikes_at_equal_distances_come_from_the_order_of_the_data() -> None:
    finding = last(spiky(150, 220, 290, 360, learning_rate=1e-2, size=2.0))
    assert finding.severity.label == "info"
    order = finding.causes[0]
    assert (order.id, order.status.name) == ("data-order", "LIKELY")
    assert "every 70 log rows" in order.because[0]


def test_spikes_at_the_edges_of_epochs_come_from_the_order_of_the_data() -> None:
    rows = spiky(100, 200, 300, size=2.0)
    finding = last(rows)
    assert finding.severity.label == "info"
    assert finding.evidence["edges"] == 3


def test_huge_spikes_warn_whatever_their_distance() -> None:
    assert last(spiky(150, 220, 290, 360, size=12.0)).severity.label == "warning"


def test_spikes_that_come_often_are_a_kind_of_row() -> None:
    rows = spiky(*(step + step % 7 for step in range(24, 400, 12)))
    assert [what for what in fired(rows) if what[1] != "info"] == []


def test_it_resolves_when_the_run_has_doubled_without_one() -> None:
    rows = spiky(110, 150, 200, steps_in_all=500)
    (*_, finding) = feed(rows)
    assert (finding.severity.label, finding.resolved_step) == ("warning", 400)


def test_a_higher_rise_later_is_the_tail_of_the_run() -> None:
    rows = spiky(210, 260, 350)
    rows += train_rows(noisy([1.0] * 40, 0.03))
    for index, row in enumerate(rows, start=1):
        row["step"] = index
    rows[410]["loss"], rows[420]["loss"] = 1.42, 2.1
    finding = last(rows)
    assert finding.resolved_step == 421


def test_the_fixes_are_in_the_runs_own_numbers() -> None:
    rows = spiky(210, 260, 350, learning_rate=1e-2)
    finding = last(rows, RunContext(max_grad_norm=0.0))
    rate = next(cause for cause in finding.causes if cause.id == "learning-rate-too-high")
    assert rate.fixes[0].changes == {"SFTConfig.max_grad_norm": (0.0, 1.0)}
    finding = last(rows, RunContext(max_grad_norm=1.0))
    rate = next(cause for cause in finding.causes if cause.id == "learning-rate-too-high")
    assert rate.fixes[0].changes == {"SFTConfig.max_grad_norm": (1.0, 0.5)}
    data = next(cause for cause in finding.causes if cause.id == "poor-data")
    assert "step 110" in data.fixes[1].text


def test_other_objectives_are_silent() -> None:
    assert fired([{**row, "reward": 1.0} for row in spiky(210, 260, 350)]) == []


def test_a_divergence_explains_them() -> None:
    rows = spiky(210, 260, 320)
    rows += train_rows(noisy([12.0] * 200, 0.03))
    for index, row in enumerate(rows, start=1):
        row["step"] = index
    cause = next(f for f in feed(rows) if f.name == "loss-divergence")
    assert last(rows).consequence_of == cause.id
