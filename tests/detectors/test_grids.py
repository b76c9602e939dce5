from __future__ import annotations

from importlib import import_module

import pytest

from benchmarks.accuracy.crossval import GRIDS


@pytest.mark.parametrize(("module", "constant"), GRIDS)
def test_a_grid_of_the_cross_validation_holds_the_shipped_value(module: str, constant: str) -> None:
    shipped = getattr(import_module(f"sftdiag.detectors.{module}"), constant)
    assert shipped in GRIDS[module, constant]
