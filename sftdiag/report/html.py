"""A run's page: the verdict and what to change, its curves, and the evidence folded below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.findings import Cause, Finding, Report, Severity
from sftdiag.report import advice, chart
from sftdiag.report.brief import levels
from sftdiag.report.full import setting, steps_done
from sftdiag.report.one_line import about, verdict_parts, words_of
from sftdiag.report.page import folded, table, words_of_pages
from sftdiag.report.page import page as framed
from sftdiag.report.reduced import reduced
from sftdiag.report.results import Results
from sftdiag.signals.course import Course

ARROW = "→"
"""Between a setting's old value and its new one."""


def render(results: Results) -> str:
    """Return the page of the one run that was read.

    Raises:
        ConfigError: there are more, or none.
    """
    if len(results.reports) != 1:
        told = f"html shows one run, and there are {len(results.reports)}; see sftdiag fleet"
        raise ConfigError(told).keyed("one_run", count=len(results.reports))
    return page(results.reports[0], results.courses[0])


def page(report: Report, course: Course) -> str:
    """Return the page of one run.

    Args:
        report: the diagnosis.
        course: the run's series, for the curves.
    """
    words = {**words_of(report.language), **words_of_pages(report.language)}
    verdict = "".join(text for text, _ in verdict_parts(report, words))
    title = words["title"].format(verdict=verdict, source=report.source)
    return framed(title, "\n".join(filter(None, _body(report, course, words))), report.language)


def _body(report: Report, course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    yield "<header>"
    badge, *rest = verdict_parts(report, words)
    title = escape("".join(text for text, _ in rest))
    yield f'<h1><span class="badge {report.verdict}">{escape(badge[0])}</span>{title}</h1>'
    told = (report.source, steps_done(report, words), levels(report, words))
    facts = words["semicolon"].join(filter(None, told))
    yield f'<p class="dim">{escape(facts)}</p>\n</header>'
    primary = report.primary
    over = (advice.change_when_over(finding, words, ARROW) for finding in report.findings)
    if first := advice.first_change(report, words, ARROW) or next(filter(None, over), ""):
        yield from _first(first, report, words)
    if primary is not None:
        yield _heading(primary, words)
        yield f"<p>{escape(primary.message)}</p>"
    yield from _chart(report, course, words)
    if primary is not None:
        yield from _primary(primary, words)
    others = [finding for finding in report.findings if finding is not primary]
    if others:
        yield f"<h2>{escape(words['others'])}</h2>\n<ul>"
        yield from (_other(finding, words) for finding in others)
        yield "</ul>"
    if primary is not None and not primary.by_check:
        yield folded(words["causes"], [_cause(cause, words) for cause in primary.causes])
    yield _evaluations(course, words)
    skipped = [f"<li>{escape(n)}: {escape(why)}</li>" for n, why in report.skipped.items()]
    yield folded(words["not_judged"], ["<ul>", *skipped, "</ul>"] if skipped else [])
    clean = [n for n in report.ran if n not in {f.name for f in report.findings}]
    looked = [f"<p>{escape(words['comma'].join(clean))}</p>"] if clean else []
    yield folded(words["looked"], looked)
    yield _settings(course, words)


def _first(first: str, report: Report, words: Mapping[str, Any]) -> Iterator[str]:
    """Yield the one change to make first, and how sure its cause is."""
    finding = report.primary
    causes = () if finding is None or finding.by_check else finding.causes
    told = [] if finding is None else advice.reasons_of(finding, report, words)
    yield f'<section class="change">\n<h2>{escape(first)}</h2>'
    yield from (f"<p>{escape(sentence)}</p>" for sentence in told)
    for others in advice.others_by_status(causes, words):
        yield f'<p class="dim">{escape(others)}</p>'
    yield "</section>"


def _heading(finding: Finding, words: Mapping[str, Any]) -> str:
    label = finding.severity.label
    severity = escape(words[label if finding.severity > Severity.INFO else "note"])
    return f'<h2>{finding.code} {finding.name} <span class="{label}">{severity}</span></h2>'


def _primary(finding: Finding, words: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p><b>{escape(words['why'])}</b>{escape(words['colon'] + finding.why)}</p>"
    for cause in advice.told_causes(finding.causes) if not finding.by_check else ():
        yield f"<p><b>{escape(advice.stated(cause, words))}</b></p>"
        if cause.because:
            yield "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in cause.because) + "</ul>"
    fixes = advice.fixes_of(advice.advised(finding.causes))
    if fixes:
        yield f"<h3>{escape(advice.title(finding, words))}</h3>\n<ul>"
        for text, changes in fixes.items():
            told = (escape(change) for change in advice.told_changes(changes, ARROW))
            settings = "".join(f"<br><code>{change}</code>" for change in told)
            yield f"<li>{escape(text)}{settings}</li>"
        yield "</ul>"


def _other(finding: Finding, words: Mapping[str, Any]) -> str:
    head = f"<b>{escape(f'{finding.code} {finding.name}')}</b>"
    beside = escape(words["comma"].join(about(finding, words)))
    note = f'<span class="{finding.severity.label}">{beside}</span>'
    told = escape(words["colon"] + finding.message)
    if changed := advice.change_when_over(finding, words, ARROW):
        told += f"<br>{escape(changed)}"
    return f"<li>{head} ({note}){told}</li>"


def _cause(cause: Cause, words: Mapping[str, Any]) -> str:
    head = f"<h3>{escape(words[cause.status.name.lower()] + words['colon'] + cause.name)}</h3>"
    sentences = [*cause.because]
    sentences += [f"{words['against']}{words['colon']}{s}" for s in cause.against]
    sentences += [f"{words['missing']}{words['colon']}{s}" for s in cause.missing]
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"{head}\n<ul>{items}</ul>" if items else head


def _chart(report: Report, course: Course, words: Mapping[str, Any]) -> Iterator[str]:
    panels, marks = chart.of_course(report, course, words)
    if panels:
        title = chart.title_of(report.source, panels, words)
        yield from chart.live(panels, marks, title, words)


def _evaluations(course: Course, words: Mapping[str, Any]) -> str:
    if not course.evaluations:
        return ""
    epochs = dict(course.epochs)
    steps = sorted({step for points in course.evaluations.values() for step, _ in points})
    kept = [step for step, _ in reduced([(step, 0.0) for step in steps], most=256)]
    known = [dict(points) for points in course.evaluations.values()]
    rows = []
    for step in kept:
        losses = (f"{points[step]:.4g}" if step in points else "" for points in known)
        rows.append((f"{step:,}", f"{epochs[step]:.3g}" if step in epochs else "", *losses))
    heads = (words["step"], words["epoch"], *course.evaluations)
    return folded(words["evaluations"], [table(heads, rows)])


def _settings(course: Course, words: Mapping[str, Any]) -> str:
    rows = []
    for name in course.context.fields:
        value = getattr(course.context, name)
        if value is not None and value != () and not name.endswith("fingerprint"):
            shown = setting(value)
            rows.append(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(shown)}</td></tr>")
    return folded(words["settings"], ["<table>", *rows, "</table>"] if rows else [])
