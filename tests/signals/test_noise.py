from __future__ import annotations

import math
import random

import pytest

from sftdiag.signals.noise import median, noise_scale


@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_noise_is_measured_around_a_trend(slope: float) -> None:
    draw = random.Random(1)
    values = [slope * i + draw.gauss(0, 2.0) for i in range(4_000)]
    assert noise_scale(values) == pytest.approx(2.0, rel=0.1)


def test_noise_of_too_few_values_is_unknown() -> None:
    assert noise_scale([1.0, 2.0, 1.0]) == math.inf
    assert math.isnan(median([]))
    assert median([3.0, 1.0]) == 2.0
