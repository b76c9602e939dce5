"""Reports of real runs, each as text and as a page; a fleet's page and a comparison's."""

from __future__ import annotations

from docs.site.runs import ROOT, Shown, shown
from sftdiag.comparisons import html as comparison_page
from sftdiag.comparisons.outcome import compared
from sftdiag.config import Settings
from sftdiag.fleets import html as fleet_page
from sftdiag.fleets.fleet import Fleet, look
from sftdiag.report import html, text

FOLDER = "gallery"

RUNS = {
    "healthy": "examples:healthy",
    "overfitting": "examples:overfitting",
    "evaluation rows of another kind": "examples:eval-distribution",
    "learning rate too low": "examples:learning-rate-too-low",
    "learning rate too high": "examples:learning-rate-too-high",
    "frozen parameters": "examples:frozen-parameters",
    "every label masked": "examples:label-mask",
    "a weight becomes NaN": "examples:nan-weights",
    "a bad shard of rows": "gpu:corrupted-shard.full",
    "a resume without its optimizer": "gpu:lost-optimizer.full.4000x2.b16.adamw-0.0002.log5.s0",
    "rows in blocks of a kind": "gpu:unshuffled.full.4000x1.b16.adamw-0.0002.log5.s0",
    "the prompt is trained, too": "gpu:prompt-trained.full",
}
"""Titles, and the runs by the names of runs.py."""

COMPARED = ("examples:healthy", "examples:learning-rate-too-low", "examples:nan-weights")


def _slug(title: str) -> str:
    return title.replace(" ", "-").replace(",", "").lower()


def files() -> dict[str, str]:
    """Return the pages of the runs, by their place in the site."""
    made = {}
    for title, name in RUNS.items():
        run = shown(name)
        for lang, ending in (("en", ""), ("zh", ".zh")):
            path = f"{FOLDER}/{_slug(title)}{ending}.html"
            made[path] = html.page(run.reports[lang], run.course)
    made[f"{FOLDER}/fleet.html"] = fleet_page.page(_fleet())
    baseline, *others = (shown(name).course for name in COMPARED)
    held = [(course, compared(baseline, course)) for course in others]
    made[f"{FOLDER}/comparison.html"] = comparison_page.page(baseline, held)
    return made


def _fleet() -> Fleet:
    found = look([str(ROOT / "examples" / "runs")], Settings(), jobs=1, cached=False)
    rows = (row.replace(run=row.run.removeprefix(f"{ROOT}/")) for row in found.rows)
    return Fleet.of(rows, "en")


def page() -> str:
    """Return the page that shows them."""
    lines = ["# Gallery", "", "What sftdiag says of real runs, as text and as a page."]
    lines += ["", "Many runs: [a fleet](fleet.html). Runs against a baseline: "]
    lines[-1] += "[a comparison](comparison.html)."
    for title, name in RUNS.items():
        lines += ["", f"## {title[:1].upper()}{title[1:]}", "", *_run(title, shown(name))]
    return "\n".join(lines) + "\n"


def _run(title: str, run: Shown) -> list[str]:
    pages = f"[page]({_slug(title)}.html) · [中文]({_slug(title)}.zh.html)"
    report = text.render(run.report).strip("\n")
    return [f"{run.about[:1].upper()}{run.about[1:]} ({pages}).", "", "```", report, "```"]
