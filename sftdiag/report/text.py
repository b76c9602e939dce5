"""Text for a person: verdict first, the curve, what was seen, why it matters, what to change.

One list of styled lines serves the pipe (plain, unwrapped) and the terminal (rich: colour, wrapped
at its width, Chinese counted as two columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag import texts
from sftdiag.findings import Cause, Finding, Report, Severity, Status
from sftdiag.values import Value

_STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "info": "bold cyan",
    "healthy": "bold green",
    "inconclusive": "bold magenta",
}


class Line(Value):
    """A line: its indent in columns and its (text, rich style) parts."""

    indent: int
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> str:
        """The line without styles."""
        return (" " * self.indent + "".join(text for text, _ in self.parts)).rstrip()


def render(report: Report, *, curve: bool = True) -> str:
    """Return the report as plain text, ending with a newline."""
    return "\n".join(line.plain for line in lines(report, curve=curve)) + "\n"


def print_to_terminal(report: Report) -> None:
    """Print the report to standard output in colour, wrapped at the terminal's width."""
    from rich.console import Console

    write_to(Console(highlight=False), report)


def write_to(console: Any, report: Report) -> None:
    """Write the report to a rich Console."""
    from rich.padding import Padding
    from rich.text import Text

    for line in lines(report):
        text = Text.assemble(*line.parts)
        console.print(Padding(text, (0, 0, 0, line.indent)))


def lines(report: Report, *, curve: bool = True) -> Iterator[Line]:
    """Yield the report's lines."""
    words = texts.load(__file__, "text", report.language)
    yield from _verdict(report, words)
    if curve:
        from sftdiag.report.curve import draw

        drawn = draw(report)
        if drawn:
            yield Line(0)
            yield from (Line(0, ((row, ""),)) for row in drawn)
    for finding in report.findings:
        yield Line(0)
        yield from _finding(finding, words)
    yield Line(0)
    if report.ran:
        clean = [name for name in report.ran if name not in {f.name for f in report.findings}]
        if clean:
            yield Line(0, ((words["not_found"], "bold"), (" " + ", ".join(clean), "")))
    if report.skipped:
        yield Line(0, ((words["not_judged"], "bold"),))
        yield from _skipped(report.skipped)


def failure(report: Report, failed: list[Finding]) -> str:
    """Return the diagnosis as the message of a failed assertion."""
    words = texts.load(__file__, "text", report.language)
    shown = list(_verdict(report, words))
    for finding in failed:
        shown += [Line(0), *_finding(finding, words)]
    return "\n".join(line.plain for line in shown)


def summary_line(report: Report) -> str:
    """Return the verdict as one line."""
    words = texts.load(__file__, "text", report.language)
    return next(_verdict(report, words)).plain


def _verdict(report: Report, words: Mapping[str, Any]) -> Iterator[Line]:
    what = words["all_well"] if report.verdict == "healthy" else report.reason
    if report.primary is not None:
        what = f"{report.primary.code} {report.primary.name}"
    parts = [(f"{report.source}: ", ""), (words[report.verdict], _STYLES[report.verdict])]
    if what:
        parts.append(
            (
                f" · {what}"
                if report.primary
                else f". {what}"
                if report.verdict == "healthy"
                else f": {what}",
                "",
            )
        )
    yield Line(0, tuple(parts))
    facts = _facts(report, words)
    if facts:
        yield Line(0, ((facts, "dim"),))


def _facts(report: Report, words: Mapping[str, Any]) -> str:
    summary = report.summary
    if summary.last_step is None or summary.first_step is None:
        return ""
    if summary.max_steps:
        facts = [words["planned"].format(last=summary.last_step, planned=summary.max_steps)]
    else:
        facts = [words["steps"].format(first=summary.first_step, last=summary.last_step)]
    if summary.epochs:
        facts.append(words["epochs"].format(epochs=summary.epochs))
    facts.append(words["rows"].format(rows=summary.records))
    return ", ".join(facts)


def _finding(finding: Finding, words: Mapping[str, Any]) -> Iterator[Line]:
    label = finding.severity.label
    times = [words["onset"].format(step=finding.onset_step)]
    times.append(words["seen_at"].format(step=finding.fired_step))
    if finding.resolved_step is not None:
        times.append(words["resolved"].format(step=finding.resolved_step))
    if finding.consequence_of is not None:
        times.append(words["consequence"].format(id=finding.consequence_of))
    head = ((f"{finding.code} {finding.name} ", "bold"), (words[label], _STYLES[label]))
    yield Line(0, (*head, (" · " + ", ".join(times), "dim")))
    yield Line(2, ((finding.message, ""),))
    yield Line(2, ((f"{words['why']} ", "bold"), (finding.why, "")))
    if finding.severity is Severity.INFO or finding.consequence_of is not None:
        return
    yield Line(2, ((words["causes"], "bold"),))
    for cause in finding.causes:
        yield from _cause(cause, words)
    best = min((cause.status.value for cause in finding.causes), default=0)
    advice = [cause for cause in finding.causes if cause.status.value == best]
    fixes = dict.fromkeys(fix.text for cause in advice for fix in cause.fixes)
    changes = {k: v for cause in advice for fix in cause.fixes for k, v in fix.changes.items()}
    if fixes:
        heading = words["guess" if best == Status.POSSIBLE.value else "change"]
        yield Line(2, ((heading, "bold"),))
        yield from (Line(4, ((f"- {text}", ""),)) for text in fixes)
        for name, (old, new) in changes.items():
            yield Line(6, ((f"{name}: {_number(old)} -> {_number(new)}", "cyan"),))


def _cause(cause: Cause, words: Mapping[str, Any]) -> Iterator[Line]:
    status = words[cause.status.name.lower()]
    strong = "bold" if cause.status.value <= Status.LIKELY.value else ""
    dim = "dim" if cause.status is Status.RULED_OUT else strong
    yield Line(4, ((f"{status}: {cause.name}", dim),))
    yield from (Line(6, ((f"- {sentence}", "dim"),)) for sentence in cause.because)


def _skipped(skipped: Mapping[str, str]) -> Iterator[Line]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield Line(2, ((", ".join(names), ""), (f": {reason}", "dim")))


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
