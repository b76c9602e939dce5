from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    assert fired(rows) == []
    for row in rows:
        row["loss"] *= 0.1
    assert [name for name, *_ in fired(rows)] == ["weighted-loss-rises"]


def test_a_loss_that_rises_by_hundreds_is_not_weighted() -> None:
    """-p ln p is nowhere above 1/e, and a model that broke still learns its most frequent token."""
    rows = train_rows(noisy([3.0, *[3.0 + 4.0 * step for step in range(99)]], 0.02))
    for row in rows:
        row["mean_token_accuracy"] = 0.02 + 0.003 * row["step"]
    names = [name for name, *_ in fired(rows)]
    assert "loss-divergence" in names
    assert "weighted-loss-rises" not in names


@pytest.mark.parametrize(("rows_up", "found"), [(3, False), (4, True)])
def test_a_doubled_loss_needs_no_accuracy_and_is_no_spike(rows_up: int, found: bool) -> None:
    losses = [1.0 + 2.0 * 0.99**step for step in range(240)]
    losses[210 : 210 + rows_up] = [3.0 * loss for loss in losses[210 : 210 + rows_up]]
    rows = [name for name, *_ in fired(train_rows(noisy(losses, 0.03)))]
    assert ("train-loss-rebound" in rows) is found


def test_losses_at_or_below_zero_are_no_likelihood() -> None:
    rows = [{**row, "loss": row["loss"] - 2.0} for row in rebound(0.8)]
    assert "train-loss-rebound" not in {name for name, *_ in fired(rows)}


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
    assert "from step 100 on" in finding.causes[0].fixes[0].text


def test_a_jump_whose_gradient_grew_is_not_put_down_to_the_rows() -> None:
    finding, _ = rebounds(jumping(rows_up=15, grad_norm_up=60.0))
    assert finding.causes[0].id == "learning-rate-too-high"


@pytest.mark.parametrize(("rows_up", "accuracy_up"), [(4, 0.03), (15, 0.2)])
def test_spikes_and_other_rows_alone_are_no_jump(rows_up: int, accuracy_up: float) -> None:
    assert rebounds(jumping(rows_up, accuracy_up)) == []


def evaluated(rows: list[Row], losses: dict[int, float], series: str = "eval_loss") -> list[Row]:
    """Put an evaluation after the row of each of these steps."""
    return [
        one
        for row in rows
        for one in (row, {"step": row["step"], series: losses.get(row["step"])})
        if one.get(series, 0.0) is not None
    ]


@pytest.mark.parametrize(
    ("losses", "fired"),
    [
        ({50: 5.0, 95: 4.7, 110: 8.0}, {"warning": 104, "error": 110}),
        ({95: 4.7, 104: 8.0, 110: 8.5}, {"warning": 104, "error": 104}),
        # The evaluation came before the jump had lasted.
        ({95: 4.7, 102: 8.0}, {"error": 104}),
        ({95: 4.7, 106: 6.0, 112: 8.0}, {"warning": 104, "error": 112}),
    ],
)
def test_a_jump_is_an_error_once_the_evaluation_says_that_all_is_lost(
    losses: dict[int, float], fired: dict[str, int]
) -> None:
    finding = rebounds(evaluated(jumping(rows_up=15), losses))[-2]
    assert (finding.severity.label, dict(finding.fired)) == ("error", fired)
    assert finding.onset_step == 99
    assert (finding.evidence["eval_loss_before"], finding.evidence["eval_loss_recent"]) == (4.7, 8)
    assert "eval_loss rose with them from 4.7 to 8 (step" in finding.message
    assert (finding.causes[0].id, finding.causes[0].status.name) == ("poor-data", "LIKELY")
    assert "from step 100 on" in finding.causes[0].fixes[0].text


@pytest.mark.parametrize(
    ("losses", "series"),
    [
        # Rows of another kind: it rises, and stays below the start.
        ({50: 5.0, 95: 4.7, 110: 5.5}, "eval_loss"),
        ({95: 4.7, 102: 8.0, 103: 5.5}, "eval_loss"),
        # It never came below the start, came below it by the noise of one row, or was not made.
        ({95: 7.0, 110: 9.0}, "eval_loss"),
        ({50: 6.5, 95: 5.9, 110: 7.2}, "eval_loss"),
        ({110: 9.0}, "eval_loss"),
        ({95: 4.7, 110: float("nan")}, "eval_loss"),
        # Over again by then; another set than the main one.
        ({95: 4.7, 190: 9.0}, "eval_loss"),
        ({95: 4.7, 110: 9.0}, "eval_other_loss"),
    ],
)
def test_a_jump_stays_a_warning_without_that_proof(losses: dict[int, float], series: str) -> None:
    rows = jumping(rows_up=15)
    if series != "eval_loss":
        rows = evaluated(rows, {95: 4.7, 110: 4.9})
    found = rebounds(evaluated(rows, losses, series))
    assert {finding.severity.label for finding in found} == {"warning"}


@given(
    st.dictionaries(st.integers(1, 115), st.floats(0.1, 20.0), max_size=6),
    st.integers(0, 15),
)
def test_an_error_always_has_an_evaluation_on_each_side(
    losses: dict[int, float], rows_up: int
) -> None:
    rows = jumping(rows_up)
    for finding in rebounds(evaluated(rows, losses)):
        if finding.severity.label == "error":
            before = [loss for step, loss in losses.items() if step <= finding.onset_step]
            since = [loss for step, loss in losses.items() if step > finding.onset_step]
            assert before
            assert min(before) < rows[0]["loss"]
            assert max(since) > 1.15 * max(rows[0]["loss"], *before)


def test_a_slow_rebound_stays_a_warning() -> None:
    rows = evaluated(rebound(0.8), {150: 1.2, 300: 9.0, 350: 9.0})
    found = [f for f in feed(rows) if f.code == "SFT102"]
    assert {finding.severity.label for finding in found} == {"warning"}
