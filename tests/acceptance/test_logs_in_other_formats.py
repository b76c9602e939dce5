"""The labelled public logs, turned into every text format: the same primary, no new alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.formats.__main__ import FORMATS, reads

pytestmark = pytest.mark.acceptance

SAME = 0.97
"""Share of logs with the same primary finding that each format must reach."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("format", FORMATS)
def test_the_same_primary_and_no_new_alarm(corpus: Path, format: str) -> None:
    found = list(reads([format]))
    assert len(found) == 184
    assert [read.log for read in found if read.alarm] == []
    assert sum(read.same for read in found) >= SAME * len(found)
