from __future__ import annotations

import pytest
from logs import Row, decay, feed, fired, noisy, train_rows

from sftdiag.findings import Finding


def rebound(rise: float, steps: int = 400, noise: float = 0.02, **constant: float) -> list[Row]:
    """Fall from 3 to 1 over half of the log, then rise over an eighth and stay."""
    half = steps // 2
    losses = [decay(step, half) for step in range(half)]
    losses += [1.0 + rise * min(1.0, 8 * step / steps) for step in range(half)]
    return train_rows(noisy(losses, noise), **constant)


def test_a_rise_that_stays() -> None:
    (finding,) = feed(rebound(0.8, learning_rate=1e-3))
    assert (finding.name, finding.severity.label) == ("train-loss-rebound", "warning")
    assert 150 <= finding.onset_step <= 210
    assert 200 < finding.fired_step < 300
    assert finding.causes[0].id == "learning-rate-too-high"
    assert finding.causes[0].status.name == "LIKELY"


@pytest.mark.parametrize("rise", [0.0, 0.04, 0.15])
def test_a_small_rise_is_silent(rise: float) -> None:
    assert fired(rebound(rise)) == []


def test_what_is_above_the_start_is_a_divergence() -> None:
    report = feed(rebound(8.0))[-1]
    assert report.name == "loss-divergence"


def test_a_bump_that_comes_back_resolves() -> None:
    rows = rebound(0.8)
    rows += train_rows(noisy([1.0] * 300, 0.02))
    for index, row in enumerate(rows, start=1):
        row["step"] = index
    assert [finding.resolved_step is None for finding in feed(rows)] == [True, False]


def test_length_grouping_is_a_saw_tooth_and_normal() -> None:
    """Mega-batches of 50 steps whose loss falls within each."""
    losses = [decay(step, 400, 2.0, 1.0) * (1.25 - 0.5 * (step % 50) / 50) for step in range(400)]
    assert {name for name, *_ in fired(train_rows(noisy(losses, 0.03)))} == {"length-grouping"}


def test_a_loss_that_rises_while_tokens_are_predicted_better() -> None:
    rows = rebound(0.8)
    for row in rows:
        row["mean_token_accuracy"] = row["step"] / 500
    assert [name for name, *_ in fired(rows)] == ["weighted-loss-rises"]


def test_losses_at_or_below_zero_are_no_likelihood() -> None:
    rows = [{**row, "loss": row["loss"] - 2.0} for row in rebound(0.8)]
    assert fired(rows) == []


def test_a_loss_that_rises_with_the_token_accuracy_is_noted_as_normal() -> None:
    rows = train_rows(noisy([0.015 + 0.001 * step for step in range(100)], 0.02))
    for row in rows:
        row["mean_token_accuracy"] = 0.006 * row["step"]
    assert [name for name, *_ in fired(rows)] == ["weighted-loss-rises"]
    for row in rows:
        row["mean_token_accuracy"] = 0.3
    assert "weighted-loss-rises" not in [name for name, *_ in fired(rows)]


def jumping(rows_up: int, accuracy_up: float = 0.03, grad_norm_up: float = 4.0) -> list[Row]:
    """A loss that is up from one record to the next for some rows, and comes back."""
    rows = train_rows(noisy([decay(step, 200, 6.0, 4.0) for step in range(200)], 0.02))
    for row in rows:
        up = 100 <= row["step"] < 100 + rows_up
        row["loss"] += 2.0 * up
        row["mean_token_accuracy"] = accuracy_up if up else 0.3
        row["grad_norm"] = grad_norm_up if up else 4.0
    return rows


def rebounds(rows: list[Row]) -> list[Finding]:
    return [finding for finding in feed(rows) if finding.code == "SFT102"]


def test_a_jump_that_takes_the_accuracy_along_is_told_at_once_and_ends_with_it() -> None:
    finding, over = rebounds(jumping(rows_up=15))
    assert (finding.onset_step, finding.fired_step) == (99, 104)
    assert (finding.resolved_step is None, over.resolved_step is None) == (True, False)
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("data-order", "LIKELY")
    assert "rows that are trained on after step 99:" in finding.causes[0].fixes[0].text


def test_a_jump_whose_gradient_grew_is_not_put_down_to_the_rows() -> None:
    finding, _ = rebounds(jumping(rows_up=15, grad_norm_up=60.0))
    assert finding.causes[0].id == "learning-rate-too-high"


@pytest.mark.parametrize(("rows_up", "accuracy_up"), [(4, 0.03), (15, 0.2)])
def test_spikes_and_other_rows_alone_are_no_jump(rows_up: int, accuracy_up: float) -> None:
    assert rebounds(jumping(rows_up, accuracy_up)) == []
