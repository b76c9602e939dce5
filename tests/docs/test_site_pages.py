"""The site's pages: one a code, links that resolve, and runs that show what they should."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

import sftdiag
from sftdiag.findings import Severity
from sftdiag.guide.catalogue import rules

pytest.importorskip("numpy")
from docs.site import codes, links, power
from docs.site.pages import NAV, Site, site
from docs.site.runs import shown


@pytest.fixture(scope="module")
def made() -> Site:
    return site()


def test_every_link_resolves(made: Site) -> None:
    assert list(links.broken(made.pages, made.files)) == []


def test_a_link_that_does_not_is_found() -> None:
    pages = {
        "a.md": "# One two\n\n[x](b.md) [y](b.md#two) [z](b.md#none) [w](#one-two)",
        "b.md": "# B\n\n## Two\n\n[v](c/d.md) `[no](link)` ![p](p.svg)\n\n```\n[q](r.md)\n```\n",
    }
    found = list(links.broken(pages, {"p.svg"}))
    assert found == ["a.md: b.md#none: no such heading", "b.md: c/d.md: no such page"]


def test_every_code_has_its_page(made: Site) -> None:
    for rule in rules("en"):
        page = made.pages[f"codes/{rule.code}.md"]
        assert f"codes/{rule.code}.md" in made.nav["Findings"]
        assert f"[{rule.code}]({rule.code}.md)" in made.pages["codes/index.md"]
        for part in ("## What it means", "## 中文 { #zh }", "## How it is judged"):
            assert part in page, rule.code
    for rule in rules("zh"):
        assert rule.title in made.pages["codes/index.md"]


def test_a_code_of_plain_text_is_a_link_and_no_other(made: Site) -> None:
    assert "[SFT503](codes/SFT503.md)" in made.pages["guide.md"]
    assert "[SFT201](../codes/SFT201.md)" not in made.pages["codes/SFT201.md"]
    text = "SFT201 `SFT201` [SFT201](x.md) SFT201@420\n\n# SFT201\n\n```\nSFT201\n```\n"
    linked = links.with_codes(text, "a.md", {"SFT201": "codes/SFT201.md"})
    assert linked == text.replace("SFT201", "[SFT201](codes/SFT201.md)", 1)


@pytest.mark.parametrize("code", codes.table()["run"])
def test_a_code_is_drawn_by_a_run_that_shows_it(made: Site, code: str) -> None:
    run = shown(codes.table()["run"][code])
    finding = next(f for f in run.report.findings if f.code == code)
    page = made.pages[f"codes/{code}.md"]
    assert codes.as_text(finding.message) in page
    assert 'data-series="loss"' in page
    assert re.search(r"> [^\n]*[\u4e00-\u9fff]", page)


@pytest.mark.parametrize(
    "near", codes.table()["near"], ids=lambda near: f"{near['code']}-{near['run']}"
)
def test_near_misses_are_healthy_and_silent(near: dict[str, str]) -> None:
    run = shown(near["run"])
    assert run.report.verdict in ("healthy", "info"), run.report
    assert all(f.worst == Severity.INFO for f in run.report.findings)
    assert near["code"] in codes.codes()
    assert run.figure("")


def test_power_curves_are_those_of_the_accuracy_page(made: Site) -> None:
    curves = power.curves()
    assert {curve.disease for curve in curves} == set(power.LADDERS)
    (frozen,) = [curve for curve in curves if curve.disease == "frozen"]
    (points,) = frozen.shares.values()
    assert [count for count, _ in points] == [5, 10, 20, 50, 200]
    assert all(
        0 <= share <= 100 for curve in curves for p in curve.shares.values() for _, share in p
    )
    for curve in curves:
        assert (
            f"{curve.disease}: share named"
            in made.pages[f"codes/{power.page_of(curve.disease)}.md"]
        )


def test_every_public_name_is_in_the_reference(made: Site) -> None:
    for name in sftdiag.__all__:
        assert name == "__version__" or f"{{ #{name} }}" in made.pages["api.md"], name


def test_every_page_is_in_the_navigation_once(made: Site) -> None:
    places = [place for part in made.nav.values() for place in part]
    assert sorted(places) == sorted(made.pages)
    for title, named in NAV.items():
        assert made.nav[title][: len(named)] == named


def test_the_gallery_shows_reports_as_text_and_pages(made: Site) -> None:
    assert "SFTConfig.num_train_epochs: 80 -> 25" in made.pages["gallery/index.md"]
    shown = [content for place, content in made.files.items() if place.endswith(".html")]
    assert shown
    assert all(content.startswith(b"<!doctype html>") for content in shown)
    assert 'lang="zh"' in made.files["gallery/overfitting.zh.html"].decode()


def test_pictures_are_small_and_shown(made: Site) -> None:
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs/screenshots").iterdir()}
    assert all(size < 150_000 for size in pictures.values()), pictures
    assert {f"screenshots/{name}" for name in pictures} <= set(made.files)
    assert all(f"(screenshots/{name})" in made.pages["pages.md"] for name in pictures)
