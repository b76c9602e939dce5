"""The page set: what is written elsewhere in the project, and what is made of the code and runs."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from docs.site import api, codes, gallery, links

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "sftdiag" / "report"

COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/runs/README.md": "examples.md",
    "docs/skill/SKILL.md": "skill.md",
    "findings/README.md": "findings.md",
}
"""Pages from outside docs/, by their place in the site."""

STANDS_FOR = {
    "examples": "examples.md",
    "docs/findings.en.md": "codes/index.md",
    "examples/runs": "examples.md",
}
"""Folders and pages that another page stands for."""

NAV: Mapping[str, tuple[str, ...]] = {
    "Start": ("index.md", "concepts.md", "guide.md", "gallery/index.md", "examples.md"),
    "Use": (
        *("gates.md", "pages.md", "frameworks.md", "logs.md", "guard.md", "alerts.md", "probes.md"),
        *("recommend.md", "search.md", "fleet.md", "ranks.md", "command_line.md", "api.md"),
        "skill.md",
    ),
    "Evidence": (
        *("accuracy.md", "gpu.md", "speed.md", "speed_callback.md", "speed_steps.md"),
        *("speed_preflight.md", "templates.md", "recommend_score.md", "search_score.md"),
        *("reports.md", "findings.md"),
    ),
    "中文": ("findings.zh.md", "search.zh.md"),
    "Develop": ("contributing.md", "changelog.md"),
}
"""Parts of the navigation; between Use and Evidence stands a part with every code."""

AFTER = "Use"

REST = "Evidence"
"""Where pages stand that no part names."""


class Site(NamedTuple):
    """The pages as Markdown and the other files, by their place; titles stand in the navigation."""

    pages: Mapping[str, str]
    files: Mapping[str, bytes]
    nav: Mapping[str, tuple[str, ...]]


def site() -> Site:
    """Return the whole page set."""
    sources = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    del sources["docs/findings.en.md"]
    sources |= COPIED
    places = {**sources, **STANDS_FOR}
    files: dict[str, bytes] = {}
    pages: dict[str, str] = {}
    for source, place in sources.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pages[place] = links.rewritten(text, partial(_moved, source, places, files))
    pages["codes/index.md"] = codes.index()
    of_codes = {code: f"{codes.FOLDER}/{code}.md" for code in codes.codes()}
    pages |= {place: codes.page(code) for code, place in of_codes.items()}
    pages["gallery/index.md"] = gallery.page()
    pages["api.md"] = api.page()
    pages = {place: links.with_codes(text, place, of_codes) for place, text in pages.items()}
    files |= {place: text.encode() for place, text in gallery.files().items()}
    files["site.css"] = style().encode()
    nav: dict[str, tuple[str, ...]] = {}
    for title, shown in NAV.items():
        nav[title] = tuple(place for place in shown if place in pages)
        if title == AFTER:
            nav["Findings"] = ("codes/index.md", *of_codes.values())
    named = {place for shown in nav.values() for place in shown}
    nav[REST] += tuple(place for place in pages if place not in named)
    return Site(pages, files, nav)


def _moved(source: str, places: Mapping[str, str], files: dict[str, bytes], path: str) -> str:
    """Return where a link of a source goes in the site; a file that is no page is taken along."""
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    place = places.get(inside)
    if place is None and (ROOT / inside).is_file():
        of_docs = inside.startswith("docs/")
        place = inside.removeprefix("docs/") if of_docs else f"files/{inside}"
        files[place] = (ROOT / inside).read_bytes()
    # What is not there is left as it is, and found by the check of links.
    return links.relative(place, places[source]) if place else path


def style() -> str:
    """Return the style sheet: that of the curves, in the theme's two schemes, and a little."""
    curves = (REPORT / "curves.css").read_text(encoding="utf-8")
    before, _, rest = curves.partition("@media (prefers-color-scheme: dark)")
    _, _, dark = rest.partition(':root[data-theme="dark"]')
    own = (Path(__file__).parent / "site.css").read_text(encoding="utf-8")
    return f'{before}[data-md-color-scheme="slate"]{dark}{own}'
