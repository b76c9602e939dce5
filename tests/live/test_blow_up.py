"""A learning rate that blows a real run up is stopped right after the leap; a sound one never."""

from __future__ import annotations

from pathlib import Path

import pytest
from logs import report_of

import sftdiag

pytest.importorskip("trl", reason="needs the extra trainer")
pytestmark = pytest.mark.slow

LEAP = 2.0
"""Times the first loss from which it has leapt."""


def losses(tmp_path: Path, rate: float, every: int, **arguments: object) -> list[tuple[int, float]]:
    """Train the example's model under a callback that stops; return its logged losses."""
    from finetune import make_trainer

    trainer = make_trainer(
        "none", tmp_path, learning_rate=rate, logging_steps=every, eval_steps=1000, **arguments
    )
    sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    return [(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize(("every", "rows"), [(1, 15), (10, 1)])
def test_a_rate_a_thousand_times_too_high_is_stopped(tmp_path: Path, every: int, rows: int) -> None:
    """Its steps are seen: it may be stopped before a log row, a mean over ten of them, shows it."""
    seen = losses(tmp_path, 3.0, every)
    up = (at for at, (_, loss) in enumerate(seen) if loss > LEAP * seen[0][1])
    assert len(seen) - 1 - next(up, len(seen) - 1) <= rows
    assert seen[-1][0] <= 20


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize("optim", ["adamw_torch", "adafactor"])
def test_a_sound_rate_is_never_stopped(tmp_path: Path, every: int, optim: str) -> None:
    assert losses(tmp_path, 3e-3, every, optim=optim)[-1][0] == 120


@pytest.mark.parametrize(("rate", "every"), [(0.09, 50), (0.3, 10)])
def test_a_rate_at_which_the_loss_falls_and_ends_ten_times_as_high_is_not_healthy(
    tmp_path: Path, rate: float, every: int
) -> None:
    """The log looks sound: only the rate itself says that it is not."""
    from finetune import make_trainer

    trainer = make_trainer(
        "none", tmp_path, learning_rate=rate, logging_steps=every, eval_strategy="no"
    )
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert callback.report.verdict == "warning"
    assert [finding.code for finding in callback.report.findings][:1] == ["SFT501"]
    report = report_of(trainer.state.log_history)
    assert (report.verdict, report.primary) == ("inconclusive", None)
    assert "with Adam no model learns well" in (report.reason or "")
