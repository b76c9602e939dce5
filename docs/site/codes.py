"""A page for every code: a run that shows it, what it means, its power curve, its near misses."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from docs.site import power
from docs.site.runs import Shown, caption, found, shown, told
from sftdiag.checks import CHECKS
from sftdiag.detectors import DETECTORS
from sftdiag.guide.catalogue import Rule, explain, rules
from sftdiag.probes import PROBES
from sftdiag.report.results import change_of

FOLDER = "codes"

WHERE = {
    "SFT1": "the log",
    "SFT2": "the evaluations",
    "SFT3": "the model's replies",
    "SFT4": "rows and template, before step 1",
    "SFT5": "the settings, before step 1",
}


@cache
def table() -> dict[str, Any]:
    """Return which runs are drawn where."""
    return tomllib.loads((Path(__file__).parent / "shown.toml").read_text(encoding="utf-8"))


def codes() -> dict[str, Rule]:
    """Return every code with its rule; notes stand with their code."""
    found: dict[str, Rule] = {}
    for rule in rules("en"):
        found.setdefault(rule.code, rule)
    return found


def index() -> str:
    """Return the page that lists them."""
    lines = ["# Findings", "", "Every code has a page: a run that shows it, causes, fixes."]
    for start, where in WHERE.items():
        lines += ["", f"## {start}xx: seen in {where}", ""]
        lines += ["| code | name | severity | what | 中文 |", "|---|---|---|---|---|"]
        for rule, chinese in zip(rules("en"), rules("zh"), strict=True):
            if rule.code.startswith(start):
                link = f"[{rule.code}]({rule.code}.md)"
                cells = (link, rule.name, rule.severity, rule.title, chinese.title)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(code: str) -> str:
    """Return the page of a code."""
    rule = codes()[code]
    return "\n".join([f"# {code} {rule.name}", "", *_body(rule)]) + "\n"


def _body(rule: Rule) -> Iterator[str]:
    code = rule.code
    yield f"**{rule.title}** · at most {_severity(rule)} · {rule.seen_by} · [中文](#zh)"
    yield ""
    name = table()["run"].get(code) or found(code)
    if name is None:
        yield from _unseen(code)
    else:
        run = shown(name)
        yield from _run(run, code)
    yield "## What it means"
    yield ""
    yield from _explained(code, "en")
    if figures := power.figures(code):
        yield "## How small a one is found"
        yield ""
        yield (
            "Generated runs with the fault in several sizes, judged by today's code; "
            "[all figures](../accuracy.md)."
        )
        for figure in figures:
            yield from ("", figure, "")
    near = [item for item in table()["near"] if item["code"] == code]
    if near:
        yield "## Healthy runs that look alike"
        yield ""
        for item in near:
            run = shown(item["run"])
            yield from (item["why"], "", run.figure(caption(run)), "")
    if about := _judged(code):
        yield from ("## How it is judged", "", about, "")
    yield "## 中文 { #zh }"
    yield ""
    if name is not None:
        yield from (f"> {as_text(told(shown(name), code)[1])}", "")
    yield from _explained(code, "zh")


def _severity(rule: Rule) -> str:
    return {"info": "a note", "warning": "a warning", "error": "an error"}[rule.severity]


def _run(run: Shown, code: str) -> Iterator[str]:
    yield from ("## A run that shows it", "", run.figure(caption(run)), "")
    yield from (f"> {as_text(told(run, code)[0])}", "")
    finding = next(f for f in run.report.findings if f.code == code)
    if change := change_of(finding):
        yield from (f"What to change: {as_text(change)}.", "")
    primary = run.report.primary
    if primary is not None and primary.code != code:
        yield (f"First in this run's report is [{primary.code} {primary.name}]({primary.code}.md).")
        yield ""
    elif finding.by_check:
        yield "The curve alone does not show it: it was seen before step 1."
        yield ""


def _unseen(code: str) -> Iterator[str]:
    if code.startswith("SFT3"):
        yield (
            "No loss shows it: the model is asked, before training and after each evaluation "
            "([a model that forgets, step by step](../probes.md))."
        )
    elif code.startswith(("SFT4", "SFT5")):
        yield "No curve is stored: it is seen before step 1, in rows, template or settings."
    else:
        yield "No curve is stored: it is seen while a run trains, in how its steps are made."
    yield ""


def _explained(code: str, lang: str) -> Iterator[str]:
    """Yield what `sftdiag explain` prints, below its title and severity."""
    body = explain(code, lang).partition("\n\n")[2].strip()
    for line in body.split("\n"):
        yield f"    - {as_text(line.strip())}" if line.startswith("    ") else as_text(line)
        # A list needs an empty line before it.
        if line.endswith((":", "：")) and not line.startswith((" ", "-")):
            yield ""
    yield ""


def as_text(line: str) -> str:
    """Return text in which nothing is markup but the dash of a list."""
    return re.sub(r"([*_`\[\]|])", r"\\\1", escape(line, quote=False))


def _judged(code: str) -> str:
    """Return the paragraphs of the unit's docstring before its example."""
    units: list[Any] = [*DETECTORS, *CHECKS, *PROBES]
    unit = next((one for one in units if one.code == code), None)
    module = inspect.getmodule(unit if isinstance(unit, type) else type(unit)) if unit else None
    if module is None or not module.__doc__:
        return ""
    text = inspect.cleandoc(module.__doc__).partition(": ")[2]
    text = re.split(r"\n(?=>>> |References:|Examples:)", text)[0].strip()
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return text[:1].upper() + text[1:]
