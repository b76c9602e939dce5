"""Text for a person: verdict first, the curve, what was seen, why it matters, what to change.

One list of styled lines serves the pipe (plain, unwrapped) and the terminal (rich: colour, wrapped
at its width, Chinese counted as two columns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sftdiag.findings import Cause, Finding, Report, RowsSeen, Scalar, Severity, Status
from sftdiag.report.one_line import STYLES, told_with, verdict_parts, words_of
from sftdiag.values import Value

CURVE_COLUMNS = 74
"""Columns that the curve needs."""


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
    """Write the report to a rich Console; without the curve where it does not fit."""
    write_lines(console, lines(report, curve=console.width > CURVE_COLUMNS))


def write_lines(console: Any, shown: Iterable[Line]) -> None:
    """Write lines to a rich Console."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for line in shown:
        if line.parts and line.parts[0][0].startswith("- "):
            (first, style), *rest = line.parts
            grid = Table.grid()
            grid.add_row("- ", Text.assemble((first[2:], style), *rest))
            console.print(Padding(grid, (0, 0, 0, line.indent)))
        else:
            console.print(Padding(Text.assemble(*line.parts), (0, 0, 0, line.indent)))


Below = Callable[[Finding], Iterator["Line"]]
"""Lines to stand below a finding."""


def lines(
    report: Report, *, curve: bool = True, below: Below = lambda finding: iter(())
) -> Iterator[Line]:
    """Yield the report's lines."""
    words = words_of(report.language)
    yield from _verdict(report, words)
    if not report.findings and report.rows and report.summary.last_step is None:
        from sftdiag.report import quiet

        yield from (Line(0, parts) for parts in quiet.lines(report, words))
        return
    if curve:
        from sftdiag.report.curve import draw

        drawn = draw(report)
        if drawn:
            yield Line(0)
            yield from (Line(0, ((row, ""),)) for row in drawn)
    explained: set[str] = set()
    for finding in report.findings:
        yield Line(0)
        again = finding.name in explained
        yield from _finding(finding, words, brief=_said_already(finding, report), again=again)
        explained.add(finding.name)
        yield from below(finding)
    yield Line(0)
    colon, comma = words["colon"], words["comma"]
    clean = [name for name in report.ran if name not in {f.name for f in report.findings}]
    if clean:
        yield Line(0, ((words["not_found"], "bold"), (colon + comma.join(clean), "")))
    if report.skipped:
        yield Line(0, ((words["not_judged"] + colon.rstrip(), "bold"),))
        yield from _skipped(report.skipped, words)
    yield from _rows_seen(report.rows, words)


def failure(report: Report, failed: list[Finding]) -> str:
    """Return the diagnosis as the message of a failed assertion."""
    words = words_of(report.language)
    shown = list(_verdict(report, words))
    for finding in failed:
        shown += [Line(0), *_finding(finding, words)]
    return "\n".join(line.plain for line in shown)


def _verdict(report: Report, words: Mapping[str, Any]) -> Iterator[Line]:
    source = (report.source + words["colon"], "")
    yield Line(0, (source, *verdict_parts(report, words)))
    facts = _facts(report, words)
    if facts:
        yield Line(0, ((facts, "dim"),))


def _facts(report: Report, words: Mapping[str, Any]) -> str:
    summary = report.summary
    if summary.last_step is None or summary.first_step is None:
        return ""
    if summary.max_steps:
        key = "planned" if summary.last_step <= summary.max_steps else "beyond_plan"
        facts = [words[key].format(last=summary.last_step, planned=summary.max_steps)]
    else:
        facts = [words["steps"].format(first=summary.first_step, last=summary.last_step)]
    if summary.epochs:
        facts.append(words["epochs"].format(epochs=summary.epochs))
    facts.append(words["rows"].format(rows=summary.records))
    joined: str = words["comma"].join(facts)
    return joined


def _said_already(finding: Finding, report: Report) -> bool:
    """Return whether the symptom is over here and told in full where it stands now."""
    return finding.resolved_step is not None and any(
        other.code == finding.code and other.resolved_step is None for other in report.findings
    )


def _finding(
    finding: Finding, words: Mapping[str, Any], *, brief: bool = False, again: bool = False
) -> Iterator[Line]:
    """Yield a finding; ``again`` without what another onset of the same pattern has explained."""
    label, colon = finding.severity.label, words["colon"]
    is_note = finding.severity is Severity.INFO
    if finding.by_check and not finding.fired_step:
        times = [words["before"]]
    elif not finding.fired_step:
        # A finished model that was asked without its log.
        times = []
    else:
        times = [words["onset"].format(step=finding.onset_step)]
        times.append(words["seen_at"].format(step=finding.fired_step))
    if finding.resolved_step is not None:
        times.append(words["resolved"].format(step=finding.resolved_step))
        times += [finding.resolved_because] if finding.resolved_because else []
    if finding.consequence_of is not None:
        times.append(told_with(finding, words))
    head = (f"{finding.code} {finding.name} ", "bold")
    severity = (words["note" if is_note else label], STYLES[label])
    dated = ((" · " + words["comma"].join(times), "dim"),) if times else ()
    yield Line(0, (head, severity, *dated))
    yield Line(2, ((finding.message, ""),))
    if not again:
        meaning = words["meaning" if is_note else "why"]
        yield Line(2, ((meaning + colon, "bold"), (finding.why, "")))
    if brief or finding.consequence_of is not None or (is_note and not finding.by_check):
        return
    if not finding.by_check:
        yield Line(2, ((words["causes"] + colon.rstrip(), "bold"),))
        for cause in finding.causes:
            yield from _cause(cause, words)
    advice = _advised(finding.causes)
    fixes: dict[str, Mapping[str, tuple[Scalar, Scalar]]] = {}
    for fix in (fix for cause in advice for fix in cause.fixes):
        fixes[fix.text] = {**fixes.get(fix.text, {}), **fix.changes}
    if fixes:
        guess = advice[0].status is Status.POSSIBLE
        yield Line(2, ((words["guess" if guess else "change"] + colon.rstrip(), "bold"),))
        for text, changes in fixes.items():
            yield Line(4, ((f"- {text}", ""),))
            for name, (old, new) in changes.items():
                yield Line(6, ((f"{name}: {_number(old)} -> {_number(new)}", "cyan"),))


def _advised(causes: tuple[Cause, ...]) -> list[Cause]:
    """Return the best supported causes; of merely possible ones those that nothing contradicts."""
    best = min((cause.status.value for cause in causes), default=0)
    advised = [cause for cause in causes if cause.status.value == best]
    uncontradicted = [cause for cause in advised if not cause.against]
    return uncontradicted or advised[:1]


def _cause(cause: Cause, words: Mapping[str, Any]) -> Iterator[Line]:
    strong = "bold" if cause.status.value <= Status.LIKELY.value else ""
    style = "dim" if cause.status is Status.RULED_OUT else strong
    colon = words["colon"]
    yield Line(4, ((words[cause.status.name.lower()] + colon + cause.name, style),))
    yield from (Line(6, ((f"- {sentence}", "dim"),)) for sentence in cause.because)
    for label, sentences in (("against", cause.against), ("missing", cause.missing)):
        for sentence in sentences:
            yield Line(6, ((f"- {words[label]}{colon}{sentence}", "dim"),))


def _skipped(skipped: Mapping[str, str], words: Mapping[str, Any]) -> Iterator[Line]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield Line(2, ((words["comma"].join(names), ""), (words["colon"] + reason, "dim")))


def _rows_seen(rows: tuple[RowsSeen, ...], words: Mapping[str, Any]) -> Iterator[Line]:
    for seen in rows:
        key = "rows_all" if seen.undetected == 0.0 else "rows_some"
        total = "?" if seen.total is None else f"{seen.total:,}"
        text = words[key].format(
            rows=seen.rows, total=total, split=seen.split, undetected=seen.undetected
        )
        yield Line(0, ((text, "dim"),))


def _number(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() else f"{value:.2g}"
