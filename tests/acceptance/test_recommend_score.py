"""What recommend advises, priced by a public sweep of learning rates.

Reads ../shared or $SFTDIAG_SHARED, which is no part of the project.
"""

from __future__ import annotations

import pytest

from benchmarks.recommend.__main__ import PAGE, page, recommended, shared
from benchmarks.recommend.sweep import models

SWEEP = shared() / "research" / "tinker_sft_sweep.csv"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not SWEEP.exists(), reason=f"no sweep at {SWEEP}; set SFTDIAG_SHARED"),
]


def test_the_page_is_what_the_script_prints_and_the_bounds_are_kept() -> None:
    text, kept = page()
    assert kept
    assert text == PAGE.read_text(encoding="utf-8")


def test_no_rate_is_recommended_above_those_that_did_not_diverge() -> None:
    for model in models(SWEEP):
        # The sweep tried nothing above 1e-4 on gpt-oss-20b.
        if not model.name.endswith("gpt-oss-20b"):
            assert model.covers(recommended(model))
