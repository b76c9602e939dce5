"""The axis of curves: what is flat looks flat, what explodes does not hide the rest."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sftdiag
from sftdiag.report import curve, html, spark
from sftdiag.report.axis import LEAST_SHARE, axis_of
from sftdiag.signals.course import course_of
from sftdiag.sources import open_run


def noisy(
    level: float, spread: float, rows: int = 500, fall: float = 0.0
) -> list[tuple[int, float]]:
    draw = random.Random(1)
    return [
        (step, level - fall * step / rows + draw.gauss(0.0, spread)) for step in range(1, rows + 1)
    ]


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1, 0.3])
def test_the_noise_of_a_flat_run_fills_two_thirds_at_most(spread: float) -> None:
    points = noisy(4.0, spread)
    axis = axis_of([points])
    values = [value for _, value in points]
    assert not axis.logarithmic
    assert max(values) - min(values) < 0.7 * (axis.high - axis.low)
    assert axis.high - axis.low >= 0.999 * LEAST_SHARE * max(values)


def test_a_fall_beyond_the_noise_keeps_the_whole_height() -> None:
    points = noisy(4.0, 0.02, fall=3.0)
    axis = axis_of([points])
    assert (axis.low, axis.high) == (min(v for _, v in points), max(v for _, v in points))


def test_a_loss_that_falls_far_is_linear_and_one_that_explodes_logarithmic() -> None:
    assert not axis_of([[(1, 4.0), (2, 0.003)]]).logarithmic
    assert axis_of([[(1, 4.0), (2, 4000.0)]]).logarithmic
    assert not axis_of([[(1, 4.0), (2, 4000.0)]], linear=True).logarithmic
    assert axis_of([[(1, 40.0), (2, 0.3)]], ratios=True).logarithmic


@given(
    st.lists(
        st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), max_size=30), min_size=1, max_size=3
    )
)
def test_every_value_is_on_the_axis(series: list[list[float]]) -> None:
    axis = axis_of([list(enumerate(values)) for values in series])
    assert axis.low < axis.high
    values = [value for values in series for value in values]
    assert all(axis.low <= value <= axis.high for value in values)
    if values and min(values) > 0.0:
        assert axis.low >= 0.0


def test_page_terminal_and_word_have_the_same_axis(runs: Path) -> None:
    run = open_run(runs / "learning-rate-too-low")
    report = sftdiag.analyze(runs / "learning-rate-too-low")
    page = html.page(report, course_of(run.path, run.entries, run.context))
    text = re.search(r'<script type="application/json" id="curves">(.*?)</script>', page, re.S)
    assert text is not None
    assert json.loads(text[1])["panels"][0]["least"][0] == LEAST_SHARE
    # A twelfth of the height is what it moves by, on all three.
    drawn = re.search(r'<path class="series s0" data-series="loss" d="M(.*?)"', page)
    drawn = drawn or re.search(r'<path class="series s0" d="M(.*?)"', page)
    assert drawn is not None
    heights = [float(place.split()[1]) for place in drawn[1].split("L")]
    assert max(heights) - min(heights) < 300 / 4
    small = [int(p.split()[1]) for p in spark.drawn(report.curves, None)[1:-1].split("L")]
    assert max(small) - min(small) < spark.HEIGHT / 4
    lines = [line for line in curve.draw(report) if "┤" in line]
    assert sum("⠤" in line or "⠒" in line for line in lines) <= 2
