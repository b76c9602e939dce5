"""Markdown: a job's summary, an issue, a pull request's comment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.findings import Finding, Report
from sftdiag.report import advice
from sftdiag.report.full import steps_done
from sftdiag.report.one_line import about, verdict_parts, words_of
from sftdiag.report.results import Results, current

MARKS = {
    "error": "🔴",
    "warning": "🟡",
    "info": "🔵",
    "healthy": "🟢",
    "inconclusive": "⚪",
}

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$@])")
"""What a log's own strings could turn into markup, a mention or HTML."""


def render(results: Results) -> str:
    """Return a table of the runs where there are several, then each run that has something."""
    blocks: list[str] = []
    if len(results.found) > 1:
        blocks.append("\n".join(_table(results)))
    for item in results.found:
        if isinstance(item, Report):
            blocks.append("\n".join(_run(results, item)))
        else:
            blocks.append(f"### {MARKS['error']} {_safe(item['source'])}\n\n{_safe(item['error'])}")
    return "\n\n".join(blocks) + "\n"


def _table(results: Results) -> Iterator[str]:
    first = next((report for report in results.reports), None)
    words = words_of(first.language if first else "en")
    yield f"| | {words['run']} | {words['verdict']} | |"
    yield "|---|---|---|---|"
    for item in results.found:
        if isinstance(item, Report):
            told = "".join(text for text, _ in verdict_parts(item, words))
            what = item.primary.message if item.primary else ""
            row = (MARKS[item.verdict], _safe(item.source), _safe(told), _safe(what))
        else:
            row = (MARKS["error"], _safe(item["source"]), words["unreadable"], _safe(item["error"]))
        yield f"| {' | '.join(row)} |"


def _run(results: Results, report: Report) -> Iterator[str]:
    words = words_of(report.language)
    verdict = "".join(text for text, _ in verdict_parts(report, words))
    yield f"### {MARKS[report.verdict]} {_safe(report.source)}{words['colon']}{_safe(verdict)}"
    if facts := steps_done(report, words):
        yield ""
        yield facts
    if first := advice.first_change(report, words, "→"):
        yield ""
        yield f"**{_safe(first)}**"
    for finding in current(report):
        yield ""
        if finding.id == report.primary_id:
            yield from _primary(finding, words)
            continue
        beside = about(finding, words)
        if results.accepts(report, finding):
            beside.append(words["accepted"])
        told = f"{words['colon']}{_safe(finding.message)}"
        yield f"- **{finding.code} {finding.name}** ({words['comma'].join(beside)}){told}"


def _primary(finding: Finding, words: Mapping[str, Any]) -> Iterator[str]:
    yield f"**{finding.code} {finding.name}**{words['colon']}{_safe(finding.message)}"
    yield ""
    yield f"{words['why']}{words['colon']}{_safe(finding.why)}"
    for cause in advice.told_causes(finding.causes) if not finding.by_check else ():
        yield ""
        yield f"**{_safe(advice.stated(cause, words))}**"
        yield from (f"- {_safe(sentence)}" for sentence in cause.because)
    if not finding.by_check and (others := advice.other_causes(finding.causes, words)):
        yield ""
        yield _safe(others)
    fixes = advice.fixes_of(advice.advised(finding.causes))
    if fixes:
        yield ""
        yield f"**{advice.title(finding, words)}{words['colon'].rstrip()}**"
        for text, changes in fixes.items():
            yield f"- {_safe(text)}"
            for name, (old, new) in changes.items():
                yield f"  - `{name}`: {_safe(advice.number(old))} → {_safe(advice.number(new))}"


def _safe(text: str) -> str:
    """Return text of a log or path as plain text of a Markdown line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
