"""The pages by the parser of the HTML standard, which names every error that browsers mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from logs import healthy

import sftdiag
from sftdiag.comparisons import html as comparison_page
from sftdiag.comparisons.compare import courses
from sftdiag.comparisons.outcome import compared
from sftdiag.context import RunContext
from sftdiag.fleets import html as fleet_page
from sftdiag.report import html
from sftdiag.signals.course import course_of

pytestmark = pytest.mark.acceptance
html5lib = pytest.importorskip("html5lib")


def errors(page: str) -> list[object]:
    parser = html5lib.HTMLParser()
    parser.parse(page)
    return list(parser.errors)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_page_has_an_error(runs: Path, lang: str) -> None:
    paths = [path for path in sorted(runs.iterdir()) if path.is_dir()]
    for path, course in zip(paths, courses(*paths), strict=True):
        assert errors(html.page(sftdiag.analyze(path, lang=lang), course)) == [], path
    assert errors(fleet_page.page(sftdiag.fleet(runs, cached=False, lang=lang))) == []
    first, *others = courses(*paths)
    held = [(course, compared(first, course)) for course in others]
    assert errors(comparison_page.page(first, held, lang)) == []


@pytest.mark.parametrize(
    "odd", ["</title><p>", '"><b', "\0\x0b", "&amp;&#0;", "<!--", "]]>", "'/>"]
)
def test_no_text_of_a_log_makes_one(odd: str) -> None:
    rows = [{**row, f"eval_{odd}_loss": 1.0, f"eval_{odd}_runtime": 1.0} for row in healthy()]
    report = sftdiag.analyze({"log_history": rows}).replace(source=odd)
    course = course_of(odd, rows, RunContext(method=odd))
    assert errors(html.page(report, course)) == []
    assert errors(comparison_page.page(course, [(course, compared(course, course))])) == []
