"""A run at a glance: what to look at first, its cause, what to change; the rest in a line each.

A healthy run takes eight lines at most: the verdict, its numbers, what of learning and overfitting
could not be judged, how many rows were looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sftdiag.findings import Cause, Curve, Finding, Report, Severity, Status
from sftdiag.hints import Any
from sftdiag.report import advice, rows
from sftdiag.report.full import change, heading, meaning, rows_seen, steps_done, verdict
from sftdiag.report.line import Line
from sftdiag.report.one_line import STYLES, about, by_reason, words_of
from sftdiag.signals.curves import BESIDE

DECISIVE = ("train-loss-flat", "loss-divergence", "eval-loss-rising", "no-supervised-token")
"""What a verdict rests on: learning, blowing up, overfitting, rows that train at all. Where one of
these, or a probe that was asked for, could not judge, the reason is told; of all others only on
request."""

SENTENCES = 3
"""Sentences of evidence told of each."""


def lines(report: Report, curves: Iterable[Line] = (), width: int | None = None) -> Iterator[Line]:
    """Yield the report's lines, the curves of a sick run below the verdict.

    ``width``: columns of the terminal, at which the first reason is cut.
    """
    words = words_of(report.language)
    yield verdict(report, words)
    numbers = [part for part in (steps_done(report, words), levels(report, words)) if part]
    yield Line(0, ((words["semicolon"].join(numbers), "dim"),))
    if report.notes:
        yield Line(0, ((" ".join(report.notes), "dim"),))
    primary = report.primary
    if first := advice.first_change(report, words):
        yield Line(0, ((first, "bold"),))
        yield Line(0, ((_cut(advice.first_reason(report, words), width), ""),))
    if report.verdict not in ("healthy", "info"):
        yield from curves
    if primary is not None:
        yield Line(0)
        yield from _primary(primary, words)
        yield from rows.lines(primary, report.language)
    rest = [finding for finding in report.findings if finding is not primary]
    if rest:
        if primary is not None:
            yield Line(0)
        for finding in _once_a_name(rest):
            yield _in_a_line(finding, words)
            if changed := advice.change_when_over(finding, words):
                yield Line(2, ((changed, ""),))
            yield from rows.lines(finding, report.language)
    # Where a run is broken, what else might have been seen matters no more.
    broken = primary is not None and primary.severity is Severity.ERROR
    decisive = dict.fromkeys((*DECISIVE, *report.asked, *report.reserved))
    missing = [] if broken else [name for name in decisive if name in report.skipped]
    if (missing or report.rows) and primary is not None:
        yield Line(0)
    if missing:
        yield _missing({name: report.skipped[name] for name in missing}, words)
    yield from rows_seen(report.rows, words)


def _cut(text: str, width: int | None) -> str:
    """Return a text that fits into a line of a terminal."""
    if width is None:
        return text
    from rich.text import Text

    line = Text(text)
    line.truncate(width, overflow="ellipsis")
    return line.plain


def _primary(finding: Finding, words: Mapping[str, Any]) -> Iterator[Line]:
    yield heading(finding, words)
    yield Line(2, ((finding.message, ""),))
    yield meaning(finding, words)
    if not finding.by_check:
        yield from _causes(finding.causes, words)
    yield from change(finding, words)


def _causes(causes: Sequence[Cause], words: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the best supported causes with their evidence, then the others by name."""
    colon = words["colon"]
    for cause in advice.told_causes(causes):
        style = "bold" if cause.status.value <= Status.LIKELY.value else ""
        yield Line(2, ((advice.stated(cause, words), style),))
        sentences = [*cause.because, *(f"{words['against']}{colon}{s}" for s in cause.against)]
        sentences += [f"{words['missing']}{colon}{s}" for s in cause.missing[:1]]
        yield from (Line(4, ((f"- {s}", "dim"),)) for s in sentences[:SENTENCES])
    if others := advice.other_causes(causes, words):
        yield Line(2, ((others + words["on_request"], "dim"),))


def _once_a_name(findings: Sequence[Finding]) -> list[Finding]:
    """Return each pattern's newest onset that is not over, or its newest."""
    kept: dict[str, Finding] = {}
    for finding in findings:
        known = kept.get(finding.name)
        if known is None or (known.resolved_step is not None and finding.resolved_step is None):
            kept[finding.name] = finding
    return list(kept.values())


def _in_a_line(finding: Finding, words: Mapping[str, Any]) -> Line:
    """Return a finding that stands beside the first one."""
    head = (f"{finding.code} {finding.name}", "bold")
    dated = (f" ({words['comma'].join(about(finding, words))})", STYLES[finding.severity.label])
    return Line(0, (head, dated, (words["colon"] + finding.message, "")))


def _missing(missing: Mapping[str, str], words: Mapping[str, Any]) -> Line:
    told = (f"{words['comma'].join(names)} ({why})" for why, names in by_reason(missing).items())
    label = (words["not_judged"] + words["colon"], "bold")
    return Line(0, (label, (words["semicolon"].join(told), "")))


def levels(report: Report, words: Mapping[str, Any]) -> str:
    """Return where the losses began and where they are."""
    found = []
    for curve in report.curves:
        if not curve.values or curve.series in BESIDE:
            continue
        key = "loss_moved" if curve.series == "loss" else "evaluated"
        sound = [i for i, step in enumerate(curve.steps) if report.summary.is_sound(step)]
        if key == "evaluated" and not sound:
            key = "evaluated_last"
        found.append(words[key].format(**_ends(curve, sound)))
    return str(words["comma"].join(found[:2]))


def _ends(curve: Curve, sound: Sequence[int]) -> dict[str, Any]:
    """Return the values to tell; the best is one of sound weights."""
    best = min(sound, key=lambda index: curve.values[index], default=0)
    return {
        "series": curve.series,
        "first": curve.values[0],
        "last": curve.values[-1],
        "best": curve.values[best],
        "step": curve.steps[best],
    }
