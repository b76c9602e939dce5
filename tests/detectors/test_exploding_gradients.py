"""When a gradient norm that leaves its level is told, and what grows without harm."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, feed, report_of

from sftdiag.context import RunContext
from sftdiag.detectors.exploding_gradients import GROWN, WINDOW
from sftdiag.findings import Finding
from sftdiag.guide.dialect import LOOP

CALM = 0.17


def log(norms: Iterable[float], loss: Any = None, every: int = 10, seed: int = 0) -> list[Row]:
    """Return rows of a LoRA run: a loss that falls from 2.3 to 0.92 and rests there, with noise."""
    draw = random.Random(seed)
    return [
        {
            "step": row * every,
            "loss": (loss(row) if loss else 0.92 + 1.4 * math.exp(-row / 4)) * draw.gauss(1, 0.01),
            "learning_rate": 3e-4 * min(1.0, row / 10),
            "grad_norm": norm,
        }
        for row, norm in enumerate(norms, start=1)
    ]


def calm(rows: int, spread: float = 0.25, seed: int = 1, level: float = CALM) -> list[float]:
    draw = random.Random(seed)
    return [level * math.exp(draw.gauss(0.0, spread)) for _ in range(rows)]


def climbing(rows: int, times: float = 1.6, spread: float = 0.5, seed: int = 2) -> list[float]:
    """Return norms that grow by a factor a row, with the noise of such runs."""
    draw = random.Random(seed)
    return [CALM * times ** (row + 1) * math.exp(draw.gauss(0.0, spread)) for row in range(rows)]


def times(finding: Finding) -> float:
    return float(finding.evidence["times"] or 0.0)


def told(rows: list[Row], context: RunContext | None = None) -> list[Finding]:
    return [finding for finding in feed(rows, context) if finding.code == "SFT117"]


def test_norms_that_grow_beside_a_loss_that_rests() -> None:
    """As in the public run that shows it: 30 rows before its loss blew up."""
    found = told(log(calm(60) + climbing(20)))
    first = found[0]
    assert first.severity.label == "warning"
    assert 600 <= first.onset_step <= 660
    assert first.fired_step <= 600 + (WINDOW + 8) * 10
    assert times(first) > GROWN
    # It grows on: the same finding in newer numbers.
    assert len(found) == 1
    (last,) = report_of(log(calm(60) + climbing(20))).findings
    assert last.id == first.id
    assert times(last) > 50 * GROWN
    (rate, rows) = first.causes
    assert (rate.id, rows.id) == ("learning-rate-too-high", "poor-data")
    assert "from 0.0003 to 6e-05" in rate.fixes[0].text


def test_what_says_the_rate_was_too_high() -> None:
    (rate, *_) = told(log(calm(60) + climbing(16)), RunContext(method="full"))[0].causes
    assert rate.status.name == "LIKELY"
    (rate, *_) = told(log(calm(60) + climbing(16)), RunContext(method="lora"))[0].causes
    assert rate.status.name == "POSSIBLE"


def test_a_clip_that_is_known_is_told() -> None:
    clipped = told(log(calm(60) + climbing(16)), RunContext(max_grad_norm=1.0))[0]
    assert "every step is clipped to 1" in clipped.message
    assert (
        "clipped"
        not in told(log(calm(60) + climbing(16)), RunContext(max_grad_norm=0.0))[0].message
    )


def test_growth_from_the_first_row_on() -> None:
    """A factor of 1.5 a row from the start, as where a filter adds gradients up."""
    found = told(log((10.0 * 1.5**row for row in range(60)), loss=lambda row: 11.3))
    assert found
    assert found[0].fired_step <= 300


def test_in_a_loop_of_ones_own_the_norm_may_be_another() -> None:
    rows = log(calm(60) + climbing(16))
    causes = told(rows, RunContext(framework=LOOP))[0].causes
    assert [(cause.id, cause.status.name) for cause in causes][-1] == (
        "optimizer-settings",
        "POSSIBLE",
    )
    assert "unscale_" in causes[-1].fixes[0].text


def test_it_is_over_when_the_norm_is_back() -> None:
    report = report_of(log(calm(60) + [30.0 + row for row in range(12)] + calm(20, seed=5)))
    (finding,) = (each for each in report.findings if each.code == "SFT117")
    assert finding.resolved_step is not None
    assert finding.resolved_step <= (60 + 12 + WINDOW) * 10
    assert report.primary is None


def test_a_loss_that_blows_up_afterwards_explains_it() -> None:
    rows = log(calm(60) + climbing(40), loss=lambda row: 0.95 if row < 85 else 5.0)
    report = report_of(rows)
    (finding,) = (each for each in report.findings if each.code == "SFT117")
    assert finding.fired_step < 850
    assert report.primary is not None
    assert report.primary.code in ("SFT104", "SFT102")
    assert finding.consequence_of == report.primary.id


def swinging(seed: int) -> list[float]:
    """Return norms of single rows: a tenth or some hundreds, as public runs of batch 1 have."""
    draw = random.Random(seed)
    return [10 ** draw.uniform(-1.0, 2.9) for _ in range(200)]


HEALTHY: dict[str, list[Row]] = {
    "adapter whose B begins at 0": log([0.05 * min(5.0, 1 + row / 5) for row in range(200)]),
    "pretraining": log(0.5 * (1 + row / 40) for row in range(200)),
    "a start in the warm-up": log([40.0, 20.0, 9.0, 4.0, *calm(100, level=1.5)]),
    "large from the first row on": log(calm(200, level=900.0)),
    "below what is clipped": log(calm(60, level=0.002) + calm(60, level=0.5)),
    "single wild rows": log(
        norm * (300 if row % 9 == 0 else 1) for row, norm in enumerate(calm(200))
    ),
    "seven wild rows": log(calm(60) + [50.0] * (WINDOW - 1) + calm(60)),
    "a loss that falls with it": log(
        calm(40) + climbing(20, 1.3, 0.1) + [30.0] * 20,
        loss=lambda row: 3.0 * 0.95 ** max(0, row - 30),
    ),
    "a loss that grows as much": log(
        [0.3] * 40 + [9.0] * 40, loss=lambda row: 0.02 if row <= 40 else 0.5
    ),
    "the first look": log(climbing(12)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_silence(name: str) -> None:
    assert not told(HEALTHY[name])


@pytest.mark.parametrize("seed", range(20))
def test_norms_of_single_rows_swing_by_orders_of_magnitude(seed: int) -> None:
    assert not told(log(swinging(seed)))


@settings(max_examples=60, deadline=None)
@given(
    spread=st.floats(0.0, 4.0),
    level=st.floats(-3.0, 4.0),
    growth=st.floats(0.2, 6.0),
    heavy=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_no_noise_and_no_growth_by_a_factor_of_six(
    spread: float, level: float, growth: float, heavy: bool, seed: int
) -> None:
    draw = random.Random(seed)
    norms = []
    for row in range(300):
        noise = draw.gauss(0.0, spread) / (abs(draw.gauss(0.0, 1.0)) ** 0.5 if heavy else 1.0)
        norms.append(10**level * growth ** (row / 300) * math.exp(max(-20.0, min(20.0, noise))))
    assert not told(log(norms))


def test_lost_numbers_in_between() -> None:
    norms = calm(60) + climbing(24)
    norms[64] = math.nan
    norms[68] = math.inf
    rows = log(norms)
    rows[66]["loss"] = math.nan
    assert told(rows)


def test_a_log_without_norms_is_not_judged() -> None:
    rows = log(calm(40))
    assert "exploding-gradients" in report_of(rows).ran
    for row in rows:
        del row["grad_norm"]
    assert "grad_norm" in report_of(rows).skipped["exploding-gradients"]
