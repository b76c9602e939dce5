from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.ladders.on_real import DISEASES, course


def noisy(rows: int, noise: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    draw = np.random.default_rng(4)
    return np.asarray(np.linspace(3.0, 1.5, rows) * (1 + noise * draw.standard_normal(rows)))


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("rows", [20, 400])
def test_the_noise_of_a_real_run_is_told_from_its_course(rows: int, noise: float) -> None:
    real = course(noisy(rows, noise))
    assert len(real.level) == len(real.noise) == rows
    assert real.level == pytest.approx(np.linspace(3.0, 1.5, rows), rel=2 * noise + 0.02)
    assert np.std(real.noise) == pytest.approx(noise, rel=0.4)


@pytest.mark.parametrize("rows", [5, 6, 11])
def test_a_short_run_can_be_a_bed_for_every_disease(rows: int) -> None:
    losses = noisy(rows, 0.05)
    for _, _, sizes, make in DISEASES.values():
        for size in sizes:
            sick, onset = make(course(losses), size)
            assert len(sick) == rows
            assert np.isfinite(sick).all()
            assert 0 <= onset < rows


def test_what_is_laid_on_a_run_is_what_its_name_says() -> None:
    real = course(noisy(200, 0.02))
    flat, _ = DISEASES["flat"][3](real, 0.0)
    assert np.mean(flat[-60:]) == pytest.approx(np.mean(flat[:60]), rel=0.02)
    leap, onset = DISEASES["leap"][3](real, 3.0)
    assert np.mean(leap[onset:]) == pytest.approx(3 * real.level[0], rel=0.02)
    zero, onset = DISEASES["zero after a jump"][3](real, 30.0)
    assert (zero[onset:] == 0.0).all()
    assert zero[onset - 1] > 20
