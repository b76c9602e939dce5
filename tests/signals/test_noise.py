from __future__ import annotations

import math
import random

import pytest

from sftdiag.context import RunContext
from sftdiag.detectors._still_evaluations import still
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.noise import median, noise_scale
from sftdiag.signals.stream import Signals


@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_noise_is_measured_around_a_trend(slope: float) -> None:
    draw = random.Random(1)
    values = [slope * i + draw.gauss(0, 2.0) for i in range(4_000)]
    assert noise_scale(values) == pytest.approx(2.0, rel=0.1)


def test_noise_of_too_few_values_is_unknown() -> None:
    assert noise_scale([1.0, 2.0, 1.0]) == math.inf
    assert math.isnan(median([]))
    assert median([3.0, 1.0]) == 2.0


def test_evaluations_that_only_read_the_same_were_not_made_by_one_weight() -> None:
    """Printed with four digits, 1.2341 and 1.2349 are equal: no proof that no step was made."""
    points = [Evaluation(n, 10 * n, None, 1.234, None, 0.0, None) for n in range(1, 30)]
    exact = Signals(RunContext(max_steps=290))
    printed = Signals(RunContext(max_steps=290, logged_digits=4))
    assert "equal_evaluations" in (still(points, exact) or {})
    assert "equal_evaluations" not in (still(points, printed) or {})
