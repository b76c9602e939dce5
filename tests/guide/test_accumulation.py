"""A loss that is not divided by the accumulation steps, as a cause of a loss off its course."""

from __future__ import annotations

import pytest
from logs import Row, decay, noisy, report_of, train_rows

from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding

STEPS = 200


def rebound(factor: float, every: int = 20) -> list[Row]:
    """A loss that falls, then rises well above its lowest; the train loss times a factor."""
    losses = [decay(step, STEPS) + max(0, step - 100) * 0.02 for step in range(1, STEPS + 1)]
    rows: list[Row] = []
    for row in train_rows(noisy(losses, 0.02), learning_rate=2e-4, grad_norm=1.0):
        rows.append({**row, "loss": factor * row["loss"]})
        if every and row["step"] % every == 0:
            rows.append({"step": row["step"], "eval_loss": losses[row["step"] - 1]})
    return rows


def primary(rows: list[Row], steps: int | None) -> Finding:
    found = report_of(rows, RunContext(gradient_accumulation_steps=steps, method="lora")).primary
    assert found is not None
    return found


def undivided(found: Finding) -> Cause:
    return next(cause for cause in found.causes if cause.id == "not-divided-by-accumulation")


@pytest.mark.parametrize(
    ("factor", "steps", "every", "status", "says"),
    [
        (4.0, 4, 20, "LIKELY", "which is gradient_accumulation_steps=4"),
        (2.0, 2, 20, "LIKELY", "which is gradient_accumulation_steps=2"),
        (4.0, 8, 20, "POSSIBLE", "which is not gradient_accumulation_steps=8"),
        (4.0, None, 20, "POSSIBLE", "which is not known"),
        (1.0, 8, 20, "POSSIBLE", "no sum over accumulation steps"),
        (1.0, None, 20, "POSSIBLE", "no sum over accumulation steps"),
        (4.0, 1, 20, "RULED_OUT", "are not accumulated"),
        (4.0, 4, 0, "POSSIBLE", "too few evaluations"),
        (4.0, 4, 150, "POSSIBLE", "too few evaluations"),
    ],
)
def test_the_scale_of_the_losses(
    factor: float, steps: int | None, every: int, status: str, says: str
) -> None:
    found = primary(rebound(factor, every), steps)
    assert found.code in ("SFT101", "SFT102", "SFT104")
    cause = undivided(found)
    assert cause.status.name == status
    assert says in " ".join((*cause.because, *cause.against, *cause.missing))


def test_it_is_asked_where_the_loss_leaves_its_course_or_stands_too_high() -> None:
    from sftdiag.guide.symptoms import SYMPTOMS

    codes = {s.code for s in SYMPTOMS for c in s.causes if c.id == "not-divided-by-accumulation"}
    assert codes == {"SFT101", "SFT102", "SFT103", "SFT104", "SFT109", "SFT111", "SFT204"}
