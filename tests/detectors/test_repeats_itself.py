from __future__ import annotations

import pytest

import sftdiag
from sftdiag.detectors._levels import SAME_ROWS

FALL = [13.0682, 11.345, 11.8106, 9.6123, 8.5687, 7.7312, 7.0214, 6.5513]


@pytest.mark.parametrize(
    ("last", "count", "verdict"),
    [
        (0.566, SAME_ROWS, "inconclusive"),
        (0.566, SAME_ROWS - 1, "healthy"),
        (0.0057, SAME_ROWS, "healthy"),
    ],
)
def test_a_loss_that_no_batch_changes_is_not_called_healthy(
    last: float, count: int, verdict: str
) -> None:
    losses = [*FALL, *[last] * count]
    rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    report = sftdiag.analyze({"log_history": rows})
    assert report.verdict == verdict
    if verdict == "inconclusive":
        assert report.reason is not None
        assert "the same loss of 0.566" in report.reason


@pytest.mark.parametrize("losses", [[3.1, 2.6, 2.2, 1.9, 1.7, 1.6, 1.5], [2.1234, 1.9, 1.7, 1.62]])
def test_rounded_losses_and_running_means_repeat_themselves(losses: list[float]) -> None:
    losses = [*losses, *[losses[-1]] * SAME_ROWS]
    rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    report = sftdiag.analyze({"log_history": rows})
    assert "no batch changes" not in (report.reason or "")
