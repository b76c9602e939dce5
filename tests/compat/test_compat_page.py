"""docs/compat.md says what the cells said, and pip's refusals are read right."""

from __future__ import annotations

from benchmarks.compat import page
from benchmarks.compat.cells import CELLS
from benchmarks.compat.run import FAILED
from benchmarks.compat.venvs import why

REFUSED = """\
ERROR: Cannot install transformers==4.46.0 and trl==1.16.0 because these package versions have \
conflicting dependencies.

The conflict is caused by:
    The user requested transformers==4.46.*
    trl 1.16.0 depends on transformers>=4.56.2

To fix this you could try to:
"""


def test_the_page_is_that_of_the_results() -> None:
    found = page.results()
    assert set(found) <= set(CELLS)
    assert page.PAGE.read_text(encoding="utf-8") == page.text(found)
    assert [name for name, of in found.items() if of["state"] == FAILED] == []


def test_why_pip_refuses() -> None:
    assert why(REFUSED) == (
        "The user requested transformers==4.46.*; trl 1.16.0 depends on transformers>=4.56.2"
    )
