"""A jump in the first record after a resume: what was not loaded, and nothing beside it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from logs import Row, decay, report_of

import sftdiag
from sftdiag.context import RunContext
from sftdiag.findings import Cause, Report

AT, STEPS = 200, 400


def resumed(after: Sequence[float], every: int = 1, noise: float = 0.01) -> list[Row]:
    """A run that falls from 3 to 1, and whose losses from AT on are these, then fall by steps."""
    draw = random.Random(3)
    rows = []
    for step in range(every, STEPS + 1, every):
        since = (step - AT - 1) / (STEPS - AT)
        at = decay(step, AT) if step <= AT else after[0] + (after[1] - after[0]) * since
        rate = 1e-4 * (1 - step / STEPS)
        loss = at * draw.gauss(1.0, noise)
        rows.append({"step": step, "epoch": step / 500, "loss": loss, "learning_rate": rate})
    return rows


def judged(rows: list[Row], **known: Any) -> Report:
    return report_of(rows, RunContext(method="lora", max_steps=STEPS, **known))


def first_cause(report: Report) -> Cause:
    assert report.primary is not None
    assert report.primary.code in ("SFT102", "SFT104")
    return report.primary.causes[0]


@pytest.mark.parametrize("every", [1, 10])
def test_a_known_resume(every: int) -> None:
    report = judged(resumed((8.0, 5.0), every), resumed_steps=(AT,))
    cause = first_cause(report)
    assert (cause.id, cause.status.name) == ("adapter-state", "LIKELY")
    assert f"resumed after step {AT}" in cause.because[0]
    told = {c.id: c.status.name for f in report.findings for c in f.causes if not f.resolved_step}
    assert told.get("learning-rate-too-low") not in ("LIKELY", "CONFIRMED")
    assert told["learning-rate-too-high"] == "POSSIBLE"


@pytest.mark.parametrize("sign", ["tokens", "gap", "back"])
def test_a_resume_that_the_log_shows(sign: str) -> None:
    rows = resumed((8.0, 5.0), 5)
    for row in rows:
        row["num_tokens"] = 100.0 * (row["step"] - AT * (sign == "tokens" and row["step"] > AT))
    if sign == "gap":
        rows = [row for row in rows if not AT < row["step"] < AT + 40]
    if sign == "back":
        place = AT // 5
        again = [{**row, "step": row["step"] - 50} for row in rows[place:]]
        rows = rows[:place] + again
    cause = first_cause(judged(rows))
    assert (cause.id, cause.status.name) == ("adapter-state", "LIKELY")


def test_a_loss_that_is_back_where_the_run_began() -> None:
    cause = first_cause(judged(resumed((decay(5, AT), 2.1), 5)))
    assert (cause.id, cause.status.name) == ("adapter-state", "LIKELY")
    assert any("where the run began" in text for text in cause.because)


def test_a_blow_up_that_climbs_is_no_resume() -> None:
    report = judged(resumed((1.5, 14.0), 5))
    assert report.primary is not None
    causes = {cause.id: cause for cause in report.primary.causes}
    assert "adapter-state" not in causes


def test_a_lost_optimizer_state_is_another_cause() -> None:
    report = judged(resumed((8.0, 5.0), 10), resumed_steps=(AT,), lost_state_steps=(AT,))
    found = {c.id: c.status.name for f in report.findings for c in f.causes if f.code == "SFT104"}
    assert found["optimizer-state"] == "LIKELY"


def test_a_log_that_begins_in_mid_run_has_no_opening() -> None:
    rows = [row for row in resumed((2.0, 1.5), 10) if row["step"] > 80]
    codes = {finding.code for finding in sftdiag.analyze({"log_history": rows}).findings}
    assert "SFT109" not in codes


def test_where_no_resume_is_known_to_lie_a_high_first_record_is_none() -> None:
    rows = resumed((2.0, 1.6), 5)
    named = {cause.id for f in judged(rows).findings for cause in f.causes}
    known = {cause.id for f in judged(rows, resumed_steps=()).findings for cause in f.causes}
    assert "adapter-state" in named
    assert "adapter-state" not in known
